'use strict';

const { readFileSync, renameSync, writeFileSync } = require('node:fs');

// How much a follower that is killed prints again at most.
const KEEP_MS = 1000;

/** A file that keeps how far a reader came: what it names was printed, whatever ends the process. */
class CursorFile {
  /** @param {string} path */
  constructor(path) {
    this.path = path;
    /** @type {string | undefined} */
    this.saved = undefined;
  }

  /** Where to go on; nothing the first time. */
  place() {
    let text;
    try {
      text = readFileSync(this.path, 'utf8').trim();
    } catch (thrown) {
      if (/** @type {NodeJS.ErrnoException} */ (thrown).code === 'ENOENT') return undefined;
      throw thrown;
    }
    return text === '' ? undefined : { cursor: text };
  }

  /** @param {string | undefined} cursor */
  save(cursor) {
    if (cursor === undefined || cursor === this.saved) return;
    const temporary = `${this.path}.${process.pid}`;
    writeFileSync(temporary, `${cursor}\n`);
    renameSync(temporary, this.path);
    this.saved = cursor;
  }

  /**
   * Saves now and then while events are printed.
   *
   * @param {{ readonly cursor: string | undefined }} events
   * @param {import('./cli-output.js').Output} output
   * @returns {() => void} ends it
   */
  keep(events, output) {
    const timer = setInterval(async () => {
      // Taken first: what is printed meanwhile belongs to the next time.
      const { cursor } = events;
      try {
        await output.flush();
        this.save(cursor);
      } catch (error) {
        output.fail(error);
      }
    }, KEEP_MS);
    return () => clearInterval(timer);
  }
}

module.exports = { CursorFile };
