'use strict';

const { cursorOf } = require('./native.js');
const { openPort, throwIfAborted, unwrap } = require('./port.js');
const { positioned } = require('./read.js');

/**
 * Some records in the order of an iteration, as the binding gave them.
 *
 * @typedef {object} Slice
 * @property {string} text the records as one JSON array
 * @property {number[]} places seq, offset, length and line of each
 * @property {{ device: string, inode: string, counted: boolean }} [file] that they are in
 */

/**
 * Where the records of an iteration come from.
 *
 * @typedef {object} Source
 * @property {(begun: (id: number) => void) => Promise<Slice | undefined>} next some more,
 *   perhaps none; undefined at the end. `begun` gets the number of the request that is waited for
 * @property {() => Promise<void>} close
 * @property {string} [start] the cursor before anything was given, where it is known
 */

/**
 * The iterator of streams and follows. A call of `next` waits for the one before it.
 *
 * @implements {AsyncIterableIterator<any>}
 */
class Records {
  /** @type {Source | undefined} */
  #source;
  /** @type {() => Source} */
  #open;
  #positions;
  #reverse;
  #signal;
  #endsOnAbort;
  /** @type {Promise<unknown>} the calls before */
  #turn = Promise.resolve();
  #waiting = 0;
  #closed = false;
  /** @type {number | undefined} the request that is waited for */
  #request;
  /** @type {Slice | undefined} */
  #slice;
  /** @type {any[]} */
  #events = [];
  #next = 0;
  // Where the record given last begins in the bytes of the slice.
  #begin = 1;
  /** @type {Buffer | undefined} */
  #bytes;
  /** @type {string | undefined} */
  #cursor;
  /** @type {{ index: number, begin: number } | undefined} the record given last */
  #last;

  /**
   * @param {() => Source} open throws what is wrong with the arguments
   * @param {{ positions?: boolean, reverse?: boolean, endsOnAbort?: boolean, cursor?: string,
   *   signal?: import('../index.d.ts').AbortSignalLike }} options
   */
  constructor(open, options) {
    const { positions = false, reverse = false, endsOnAbort = false, signal, cursor } = options;
    this.#open = open;
    this.#positions = positions;
    this.#reverse = reverse;
    this.#signal = signal;
    this.#endsOnAbort = endsOnAbort;
    this.#cursor = cursor;
  }

  /** The position after the event given last, for another iteration to go on from. */
  get cursor() {
    if (this.#last !== undefined && this.#slice?.file !== undefined) {
      const { index, begin } = this.#last;
      const { file, places, text } = this.#slice;
      const place = places.slice(4 * index, 4 * index + 4);
      this.#bytes ??= Buffer.from(text);
      const line = this.#bytes.toString('utf8', begin, begin + place[2]);
      const met = { ...file, place, reverse: this.#reverse };
      this.#cursor = unwrap(cursorOf(line, JSON.stringify(met)), {});
      this.#last = undefined;
    }
    return this.#cursor ?? this.#source?.start;
  }

  next() {
    const isHere = this.#next < this.#events.length && !this.#closed && !this.#signal?.aborted;
    if (isHere && this.#waiting === 0) return Promise.resolve(this.#take());
    return this.#inTurn(() => this.#step());
  }

  /** @param {any} [value] */
  async return(value) {
    this.#closed = true;
    // Somebody may wait for the next event: he is told that there is none.
    if (this.#request !== undefined) openPort().cancel(this.#request);
    return this.#inTurn(async () => {
      await this.#close();
      return { done: true, value };
    });
  }

  /**
   * @param {unknown} error
   * @returns {Promise<IteratorResult<any, any>>}
   */
  async throw(error) {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * @template T
   * @param {() => Promise<T>} act
   * @returns {Promise<T>}
   */
  #inTurn(act) {
    this.#waiting += 1;
    const turn = this.#turn.then(act).finally(() => {
      this.#waiting -= 1;
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** @returns {Promise<IteratorResult<any, any>>} */
  async #step() {
    try {
      while (!this.#closed) {
        throwIfAborted(this.#signal);
        if (this.#next < this.#events.length) return this.#take();
        this.#source ??= this.#open();
        const slice = await this.#source.next((id) => {
          this.#request = id;
        });
        this.#request = undefined;
        if (slice === undefined) break;
        this.#fill(slice);
      }
    } catch (error) {
      const isEnd = this.#closed || (this.#endsOnAbort && this.#signal?.aborted);
      await this.#close();
      if (!isEnd) throw error;
    }
    await this.#close();
    return { done: true, value: undefined };
  }

  /** @param {Slice} slice */
  #fill(slice) {
    // The cursor is that of an event of the slice before, as long as none of this one was given.
    void this.cursor;
    this.#slice = slice;
    this.#bytes = undefined;
    this.#events = JSON.parse(slice.text);
    this.#next = 0;
    this.#begin = 1;
  }

  /** @returns {IteratorResult<any, any>} */
  #take() {
    const index = this.#next;
    const { places } = /** @type {Slice} */ (this.#slice);
    const event = this.#events[index];
    // What was given is the caller's: it is not kept in memory.
    this.#events[index] = undefined;
    this.#last = { index, begin: this.#begin };
    this.#next += 1;
    this.#begin += places[4 * index + 2] + 1;
    return { done: false, value: this.#positions ? positioned(event, places, index) : event };
  }

  async #close() {
    this.#closed = true;
    this.#request = undefined;
    void this.cursor;
    this.#events = [];
    this.#next = 0;
    const source = this.#source;
    if (source === undefined) return;
    this.#cursor ??= source.start;
    this.#source = undefined;
    await source.close();
  }
}

// Not there in older versions of Node.js 20.
if (Symbol.asyncDispose) {
  Object.defineProperty(Records.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    /** @this {Records} */
    async value() {
      await this.return();
    },
  });
}

module.exports = { Records };
