'use strict';

const { ChronicleError } = require('./index.js');

/** @typedef {{ text: string, line: number, length: number }} Line `line`: its number, from 1 */

// As long as an event may be.
const MOST_LENGTH = 64 * 1024 * 1024;

const NEWLINE = 0x0a;

/** Bytes to lines: split at 0x0A only, those of white space left out. */
class Lines {
  constructor() {
    this.line = 0;
    /** @type {Buffer[]} what stands behind the last newline */
    this.open = [];
    this.openLength = 0;
    this.decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
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
    const bytes = this.open.length === 1 ? this.open[0] : Buffer.concat(this.open);
    this.open = [];
    this.openLength = 0;
    this.line += 1;
    const text = this.decoded(/** @type {Buffer} */ (bytes));
    if (/[^ \t\r]/.test(text)) yield { text, line: this.line, length: text.length };
  }

  /** @param {Buffer} bytes */
  keep(bytes) {
    this.openLength += bytes.length;
    if (this.openLength > MOST_LENGTH) throw this.refused('is longer than 64 MiB', this.line + 1);
    if (bytes.length > 0) this.open.push(bytes);
  }

  /** @param {Buffer} bytes */
  decoded(bytes) {
    try {
      return this.decoder.decode(bytes);
    } catch (cause) {
      throw this.refused('is not UTF-8', this.line, cause);
    }
  }

  /**
   * @param {string} what
   * @param {number} line
   * @param {any} [cause]
   */
  refused(what, line, cause) {
    return new ChronicleError('EVALIDATION', `line ${line} ${what}`, { cause, line });
  }
}

module.exports = { Lines };
