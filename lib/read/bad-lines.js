'use strict';

const { publishBadLine } = require('../binding/diagnostics.js');
const { ChronicleError } = require('../binding/errors.js');
const { printable } = require('../binding/printable.js');
const { warnOnce } = require('../binding/warnings.js');
const { absolute } = require('../binding/working-folder.js');

/** @typedef {import('../../index.d.ts').BadLine} BadLine */

/** @type {Record<BadLine['kind'], string>} */
const NAMES = {
  malformed: 'malformed line',
  nul: 'line with NUL bytes',
  bom: 'line with a byte order mark, which a repair removes',
};

/** The lines of a read that are no records, handled as the option `onBadLine` says. */
class BadLines {
  /**
   * @param {string} path
   * @param {'skip' | 'throw' | ((line: BadLine) => void)} [policy]
   */
  constructor(path, policy = 'skip') {
    this.path = path;
    // Resolved here: the working folder may change while the file is read.
    this.file = absolute(path);
    this.policy = policy;
    this.skipped = 0;
    this.marks = 0;
    this.firstOffset = 0;
  }

  /**
   * Handles the bad lines of one page, in file order.
   *
   * @param {BadLine[]} lines
   */
  visit(lines) {
    for (const line of lines) {
      publishBadLine(this.file, line);
      if (typeof this.policy === 'function') {
        this.policy(line);
        continue;
      }
      if (this.policy === 'throw') throw this.error(line);
      if (this.skipped === 0) this.firstOffset = line.offset;
      this.skipped += 1;
      if (line.kind === 'bom') this.marks += 1;
    }
  }

  /** Warns of the skipped lines. */
  end() {
    if (this.skipped === 0) return;
    const lines = this.skipped === 1 ? '1 bad line' : `${this.skipped} bad lines`;
    const marks =
      this.marks === 0 ? '' : `; ${this.marks} with a byte order mark, which a repair removes`;
    const message = `skipped ${lines} from byte ${this.firstOffset} on in ${printable(this.file)}${marks}`;
    // One warning for each file and number of bad lines.
    warnOnce('CHRONICLE_BAD_LINES', `${this.skipped} ${this.file}`, message);
  }

  /** @param {BadLine} line */
  error({ kind, line, offset }) {
    const what = NAMES[kind];
    return new ChronicleError(
      'ECORRUPT',
      `${what}: line ${line} at byte ${offset} of ${printable(this.path)}`,
      {
        path: this.path,
        line,
        offset,
      },
    );
  }
}

module.exports = { BadLines };
