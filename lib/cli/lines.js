'use strict';

const { ChronicleError } = require('../index.js');

/** @typedef {{ bytes: Buffer, line: number }} Line `line`: the line number, from 1 */

// The maximum length of an event.
const MAX_LINE_BYTES = 64 * 1024 * 1024;

const NEWLINE = 0x0a;

/** Splits bytes into lines at 0x0A. Blank lines are left out. */
class LineSplitter {
  constructor() {
    this.line = 0;
    /** @type {Buffer[]} the bytes behind the last newline */
    this.open = [];
    this.openLength = 0;
  }

  /**
   * @param {Buffer} chunk
   * @returns {Generator<Line>}
   */
  *take(chunk) {
    let start = 0;
    for (let end; (end = chunk.indexOf(NEWLINE, start)) !== -1; start = end + 1) {
      this.keep(chunk.subarray(start, end));
      yield* this.end();
    }
    this.keep(chunk.subarray(start));
  }

  /**
   * Ends the open line.
   *
   * @returns {Generator<Line>}
   */
  *end() {
    const [first] = this.open;
    const bytes = first && this.open.length === 1 ? first : Buffer.concat(this.open);
    this.open = [];
    this.openLength = 0;
    this.line += 1;
    if (!isBlank(bytes)) yield { bytes, line: this.line };
  }

  /** @param {Buffer} bytes */
  keep(bytes) {
    this.openLength += bytes.length;
    if (this.openLength > MAX_LINE_BYTES) {
      const line = this.line + 1;
      throw new ChronicleError('EVALIDATION', `line ${line} is longer than 64 MiB`, { line });
    }
    if (bytes.length > 0) this.open.push(bytes);
  }
}

/**
 * Whether a line has only spaces, tabs and carriage returns.
 *
 * @param {Buffer} bytes
 */
function isBlank(bytes) {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

module.exports = { LineSplitter, isBlank };
