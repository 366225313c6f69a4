'use strict';

const { readFileSync, statSync } = require('node:fs');
const { ChronicleError } = require('../index.js');
const { UsageError } = require('./arguments.js');
const { isSameFile } = require('./options.js');
const { OutputFile } = require('./output-file.js');

// The time whose events a killed follower prints again, at most.
const SAVE_INTERVAL_MS = 1000;

/** A file that keeps the cursor of a reader. All events before the cursor were printed. */
class CursorFile {
  /**
   * @param {string} path
   * @param {string} log
   * @param {string} command
   */
  constructor(path, log, command) {
    if (isSameFile(path, log)) {
      throw new UsageError('--cursor-file must not be the log itself', command);
    }
    this.path = path;
    /** @type {string | undefined} */
    this.saved = undefined;
  }

  /** The place to start; undefined without a regular file, or if the file is empty. */
  place() {
    let text = '';
    try {
      if (statSync(this.path, { throwIfNoEntry: false })?.isFile()) {
        text = readFileSync(this.path, 'utf8').trim();
      }
    } catch (thrown) {
      const cause = /** @type {NodeJS.ErrnoException} */ (thrown);
      const message = `cannot read ${this.path}: ${cause.message}`;
      throw new ChronicleError('EIO', message, { path: this.path, cause });
    }
    return text === '' ? undefined : { cursor: text };
  }

  /** @param {string | undefined} cursor */
  save(cursor) {
    if (cursor === undefined || cursor === this.saved) return;
    const file = new OutputFile(this.path);
    file.write(`${cursor}\n`);
    file.commit();
    this.saved = cursor;
  }

  /**
   * Saves at regular intervals while events are printed.
   *
   * @param {{ readonly cursor: string | undefined }} events
   * @param {import('./output.js').Output} output
   * @returns {() => void} stops the saving
   */
  saveRegularly(events, output) {
    const timer = setInterval(async () => {
      // Read before the flush: only these events are certainly printed after it.
      const { cursor } = events;
      try {
        await output.flush();
        this.save(cursor);
      } catch (error) {
        output.fail(error);
      }
    }, SAVE_INTERVAL_MS);
    return () => clearInterval(timer);
  }
}

module.exports = { CursorFile };
