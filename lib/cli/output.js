'use strict';

const { ChronicleError } = require('../index.js');
const { isColoured } = require('./text.js');

/** Ends a command whose output was closed by its reader; this counts as success. */
const BrokenPipe = Symbol('broken pipe');

// The most text that is gathered before a write.
const MAX_GATHERED_CODE_UNITS = 64 * 1024;

/**
 * @typedef {NodeJS.WritableStream & { isTTY?: boolean, columns?: number }} Stream
 */

/** The standard output. Lines are gathered and written no faster than they are read. */
class Output {
  /** @param {Stream} stream */
  constructor(stream) {
    this.stream = stream;
    this.terminal = stream.isTTY === true;
    this.gathered = '';
    /** @type {NodeJS.Immediate | undefined} */
    this.scheduledFlush = undefined;
    /** @type {unknown} */
    this.failure = undefined;
    /** Whether the command continues after its output was closed, for the sake of its exit code. */
    this.hasVerdict = false;
    /** @type {Promise<void>} settles when all writes so far are done */
    this.writing = Promise.resolve();
    this.closed = new AbortController();
    // A stream may fail without a pending write.
    stream.on('error', (error) => this.fail(error));
  }

  /**
   * Takes one line. Resolves when the next one may be passed.
   *
   * @param {string} text
   */
  line(text) {
    return this.text(`${text}\n`);
  }

  /** @param {string} text */
  async text(text) {
    this.check();
    if (this.failure !== undefined) return;
    this.gathered += text;
    if (this.gathered.length >= MAX_GATHERED_CODE_UNITS) await this.flush();
    // Gathered text must not wait for the next line of a follow.
    else this.scheduledFlush ??= setImmediate(() => this.flush().catch(() => {}));
  }

  /**
   * Resolves when all text passed so far is written.
   *
   * @returns {Promise<void>}
   */
  async flush() {
    clearImmediate(this.scheduledFlush);
    this.scheduledFlush = undefined;
    const { gathered } = this;
    this.gathered = '';
    if (gathered !== '' && this.failure === undefined) {
      const before = this.writing;
      const write = new Promise((resolve) => {
        this.stream.write(gathered, (error) => {
          if (error) this.fail(error);
          resolve(undefined);
        });
      });
      this.writing = before.then(() => write).then(() => {});
    }
    await this.writing;
    this.check();
  }

  /** Throws the failure of the output, if it has one. */
  check() {
    if (this.failure === BrokenPipe && this.hasVerdict) return;
    if (this.failure !== undefined) throw this.failure;
  }

  /** Resolves when all text is written. */
  end() {
    return this.flush();
  }

  /**
   * Aborted when the output is closed or fails.
   *
   * @returns {AbortSignal}
   */
  get signal() {
    return this.closed.signal;
  }

  /** @param {any} error */
  fail(error) {
    this.failure ??=
      error?.code === 'EPIPE'
        ? BrokenPipe
        : new ChronicleError('EIO', `cannot write the output: ${error?.message}`, { cause: error });
    this.closed.abort();
  }
}

// Smaller files are read before a progress bar would be visible.
const MIN_PROGRESS_BYTES = 1024 * 1024;

/** The progress bar of a long command, on a terminal only. */
class Progress {
  /**
   * @param {string} label
   * @param {boolean} [quiet]
   */
  constructor(label, quiet = false) {
    this.label = label;
    this.shown = process.stderr.isTTY === true && process.env.TERM !== 'dumb' && !quiet;
    this.drawnAt = 0;
    this.drawn = false;
  }

  /**
   * @param {number} done bytes
   * @param {number} total bytes
   */
  update(done, total) {
    const now = Date.now();
    if (!this.shown || total < MIN_PROGRESS_BYTES || (this.drawn && now - this.drawnAt < 100))
      return;
    const part = Math.min(done / total, 1);
    const width = 30;
    const full = Math.round(part * width);
    const bar = '#'.repeat(full) + '-'.repeat(width - full);
    const percent = String(Math.floor(part * 100)).padStart(3);
    const coloured = isColoured(process.stderr) ? `\u001b[36m${bar}\u001b[0m` : bar;
    process.stderr.write(`\r\u001b[K${this.label} [${coloured}] ${percent}%`);
    this.drawnAt = now;
    this.drawn = true;
  }

  clear() {
    if (this.drawn) process.stderr.write('\r\u001b[K');
    this.drawn = false;
  }
}

/**
 * Writes a line to the standard error.
 *
 * @param {string} text
 */
function writeToStderr(text) {
  process.stderr.write(`${text}\n`);
}

module.exports = { BrokenPipe, Output, Progress, writeToStderr };
