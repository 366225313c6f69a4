'use strict';

const { resolve } = require('node:path');
const { publishBadLine } = require('./diagnostics.js');
const { ChronicleError } = require('./errors.js');
const { warn } = require('./warnings.js');

/** @typedef {import('../index.d.ts').BadLine} BadLine */

/** How many bad lines of which file were warned of: one process warning for each such pair. */
const warned = new Set();

// What is dropped may be warned of once more.
const MOST_WARNED = 1000;

/**
 * Whether this pair was not met before, or so many others since that it is forgotten.
 *
 * @param {string} pair
 */
function isNews(pair) {
  const news = !warned.delete(pair);
  warned.add(pair);
  if (warned.size > MOST_WARNED) warned.delete(warned.values().next().value);
  return news;
}

/** What a read does about the lines that are no records, as its `onBadLine` says. */
class BadLines {
  /**
   * @param {string} path
   * @param {'skip' | 'throw' | ((line: BadLine) => void)} [policy]
   */
  constructor(path, policy = 'skip') {
    this.path = path;
    // Now: the current directory may change while the file is read.
    this.file = resolve(path);
    this.policy = policy;
    this.skipped = 0;
    this.firstOffset = 0;
  }

  /**
   * Takes the bad lines of one slice, in file order.
   *
   * @param {BadLine[]} lines
   */
  meet(lines) {
    for (const line of lines) {
      publishBadLine(this.file, line);
      if (typeof this.policy === 'function') {
        this.policy(line);
        continue;
      }
      if (this.policy === 'throw') throw this.error(line);
      if (this.skipped === 0) this.firstOffset = line.offset;
      this.skipped += 1;
    }
  }

  /** Warns of what was skipped. */
  end() {
    if (this.skipped === 0) return;
    const { file } = this;
    if (!isNews(`${this.skipped} ${file}`)) return;
    const lines = this.skipped === 1 ? '1 bad line' : `${this.skipped} bad lines`;
    warn('CHRONICLE_BAD_LINES', `skipped ${lines} from byte ${this.firstOffset} on in ${file}`);
  }

  /** @param {BadLine} line */
  error({ kind, line, offset }) {
    const what = kind === 'nul' ? 'line with NUL bytes' : 'malformed line';
    return new ChronicleError(
      'ECORRUPT',
      `${what}: line ${line} at byte ${offset} of ${this.path}`,
      {
        path: this.path,
        line,
        offset,
      },
    );
  }
}

module.exports = { BadLines };
