'use strict';

const { isChronicleError } = require('../binding/errors.js');
const { streamChronicle } = require('../read/stream.js');

/** @typedef {import('../../index.d.ts').AbortSignalLike} Signal */

/**
 * The events of one file, read once. Catching up reads the new records; a replaced file is read
 * from its start.
 */
class EventCache {
  #path;
  #options;
  #kept = emptyCopy();
  /** @type {string | undefined} */
  #cursor;
  /** @type {Promise<unknown>} */
  #running = Promise.resolve();
  /** @type {Promise<{ kept: Kept, count: number }> | undefined} the next catch-up, not begun yet */
  #waiting;

  /**
   * @param {string} path
   * @param {{ signal: Signal, [name: string | symbol]: any }} options
   */
  constructor(path, options) {
    this.#path = path;
    this.#options = options;
  }

  /**
   * All events of the file, in an array of the caller's own.
   *
   * @param {boolean} positions
   */
  async read(positions) {
    const { kept, count } = await this.#catchUp();
    const events = kept.events.slice(0, count);
    if (!positions) return events;
    return events.map((event, index) => {
      const [seq, offset, length] = kept.positions.slice(3 * index, 3 * index + 3);
      return { event, seq, offset, length };
    });
  }

  /** Drops the events. */
  clear() {
    // Replaced, not emptied: a pending read may still copy the old events.
    this.#kept = emptyCopy();
    this.#cursor = undefined;
  }

  /**
   * Waits for a catch-up that begins after the call: one that runs already may have read the file
   * before the call. All waiting reads share it.
   */
  #catchUp() {
    this.#waiting ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#waiting = undefined;
        const running = this.#advance();
        this.#running = running;
        return running;
      });
    return this.#waiting;
  }

  async #advance() {
    try {
      await this.#readNew();
    } catch (error) {
      if (this.#cursor === undefined || !isChronicleError(error, 'ECONFLICT')) throw error;
      this.clear();
      await this.#readNew();
    }
    return { kept: this.#kept, count: this.#kept.events.length };
  }

  async #readNew() {
    const { events, positions } = this.#kept;
    const from = this.#cursor === undefined ? 'start' : { cursor: this.#cursor };
    const stream = streamChronicle(this.#path, { ...this.#options, from, positions: true });
    try {
      for await (const { event, seq, offset, length } of stream) {
        events.push(deepFrozen(event));
        positions.push(seq, offset, length);
      }
    } finally {
      this.#cursor = stream.cursor ?? this.#cursor;
    }
  }
}

/**
 * Events with seq, offset and length of each. All readers share the events, which are frozen.
 *
 * @typedef {{ events: any[], positions: number[] }} Kept
 */

/** @returns {Kept} */
function emptyCopy() {
  return { events: [], positions: [] };
}

/**
 * Freezes a JSON value and all values in it.
 *
 * @template T
 * @param {T} value
 * @returns {T}
 */
function deepFrozen(value) {
  if (typeof value === 'object' && value !== null) {
    for (const each of Object.values(value)) deepFrozen(each);
    Object.freeze(value);
  }
  return value;
}

module.exports = { EventCache };
