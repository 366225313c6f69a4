'use strict';

const { ChronicleError } = require('../binding/errors.js');
const { cursorOf } = require('../binding/native.js');
const { jsonOf, ownCopy } = require('../binding/own-properties.js');
const { openPort, throwIfAborted, unwrap } = require('../binding/port.js');
const { positioned, recordsOf } = require('./read.js');

/**
 * Records in the order of an iteration, as the binding returned them.
 *
 * @typedef {object} Page
 * @property {string} text the records as one JSON array
 * @property {number[]} places seq, offset, length and line of each record
 * @property {{ device: string, inode: string, born?: string, counted: boolean }} [file] of the
 *   records
 * @property {boolean} [idle] the file has no more records for now
 * @property {'next' | 'rewritten' | 'unknown'} [state] the relation of a new file to the one before
 * @property {{ cursor: string }} [batch] the lines of the records, instead of the records
 */

/**
 * The source of the records of an iteration.
 *
 * @typedef {object} Source
 * @property {(started: (id: number) => void) => Promise<Page | undefined>} next the next page,
 *   which may be empty; undefined at the end. `started` receives the id of the pending request
 * @property {() => Promise<void>} close
 * @property {string} [start] the cursor before the first record, once it is known
 */

/**
 * The iterator of streams and follows. Each call of `next` waits for the call before.
 *
 * @implements {AsyncIterableIterator<any>}
 */
class RecordIterator {
  /** @type {Source | undefined} */
  #source;
  /** @type {() => Source} */
  #open;
  #positions;
  #reverse;
  #signal;
  #endsOnAbort;
  /** @type {Promise<unknown>} settles when all calls so far have settled */
  #queue = Promise.resolve();
  #pendingCalls = 0;
  #closed = false;
  /** @type {number | undefined} the id of the pending request */
  #request;
  /** @type {Page | undefined} */
  #page;
  /** @type {any[]} */
  #events = [];
  #next = 0;
  // The offset of the next record in the bytes of the page's text.
  #recordStart = 1;
  /** @type {Buffer | undefined} */
  #bytes;
  /** @type {string | undefined} */
  #cursor;
  /** @type {{ index: number, begin: number } | undefined} the last returned record */
  #last;
  /** @type {((state: string) => void) | undefined} */
  #onFile;
  /** @type {(() => void) | undefined} */
  #onCaughtUp;
  /** @type {(page: Page) => any[]} */
  #recordsOf;
  /** `onCaughtUp` was called since the last page that was not idle. */
  #hasNotifiedCaughtUp = false;
  /** @type {string | undefined} the state of a file of which no event was returned yet */
  #state;
  /** The source has returned a page. */
  #hasFetched = false;
  /** @type {unknown[]} the error of the first fetch, for the next call of `next` */
  #failures = [];
  /** @type {Promise<void> | undefined} */
  #ready;
  /** @type {{ resolve: () => void, reject: (reason: unknown) => void } | undefined} */
  #readyDeferred;

  /**
   * @param {() => Source} open throws the error of bad arguments
   * @param {{ positions?: boolean, reverse?: boolean, endsOnAbort?: boolean, cursor?: string,
   *   onFile?: (state: string) => void, onCaughtUp?: () => void,
   *   signal?: import('../../index.d.ts').AbortSignalLike }} given
   */
  constructor(open, given) {
    const options = ownCopy(given);
    const { positions = false, reverse = false, endsOnAbort = false, signal, cursor } = options;
    this.#open = open;
    this.#positions = positions;
    this.#reverse = reverse;
    this.#signal = signal;
    this.#endsOnAbort = endsOnAbort;
    this.#cursor = cursor;
    this.#onFile = options.onFile;
    this.#onCaughtUp = options.onCaughtUp;
    this.#recordsOf = recordsOf(options);
  }

  /** Fulfilled when the first fetch has found the start. The first access starts that fetch. */
  get ready() {
    if (this.#ready === undefined) {
      this.#ready = new Promise((resolve, reject) => {
        this.#readyDeferred = { resolve, reject };
      });
      // Not an unhandled rejection: the caller may ignore the promise.
      this.#ready.catch(() => {});
      if (this.#hasFetched) this.#readyDeferred?.resolve();
      else if (this.#closed) this.#readyDeferred?.reject(this.#closedError());
      else if (this.#pendingCalls === 0) this.#enqueue(() => this.#fetchFirst()).catch(() => {});
    }
    return this.#ready;
  }

  /** Whether all events of the last fetch were returned and the file had no more. */
  get live() {
    return !this.#closed && this.#page?.idle === true && this.#next >= this.#events.length;
  }

  /** The position after the last returned event. Another iteration can start there. */
  get cursor() {
    if (this.#last !== undefined && this.#page?.file !== undefined) {
      const { index, begin } = this.#last;
      const { file, places, text } = this.#page;
      const place = places.slice(4 * index, 4 * index + 4);
      this.#bytes ??= Buffer.from(text);
      const line = this.#bytes.toString('utf8', begin, begin + place[2]);
      const position = { ...file, place, reverse: this.#reverse };
      this.#cursor = unwrap(cursorOf(line, jsonOf(position)), {});
      this.#last = undefined;
    }
    return this.#cursor ?? this.#source?.start;
  }

  next() {
    const isHere = this.#next < this.#events.length && !this.#closed && !this.#signal?.aborted;
    if (isHere && this.#pendingCalls === 0 && this.#state === undefined)
      return Promise.resolve(this.#take());
    return this.#enqueue(() => this.#step());
  }

  /** @param {any} [value] */
  async return(value) {
    this.#closed = true;
    // A pending `next` then resolves as done.
    if (this.#request !== undefined) openPort().cancel(this.#request);
    return this.#enqueue(async () => {
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
  #enqueue(act) {
    this.#pendingCalls += 1;
    const call = this.#queue.then(act).finally(() => {
      this.#pendingCalls -= 1;
    });
    this.#queue = call.catch(() => {});
    return call;
  }

  /** @returns {Promise<IteratorResult<any, any>>} */
  async #step() {
    if (this.#failures.length > 0) throw this.#failures.pop();
    try {
      while (!this.#closed) {
        throwIfAborted(this.#signal);
        this.#notify();
        if (this.#closed) break;
        if (this.#next < this.#events.length) return this.#take();
        if (!(await this.#fetch())) break;
      }
    } catch (error) {
      const isEnd = this.#closed || (this.#endsOnAbort && this.#signal?.aborted);
      await this.#close(error);
      if (!isEnd) throw error;
    }
    await this.#close();
    return { done: true, value: undefined };
  }

  /** Fetches the first page before the first call of `next`. */
  async #fetchFirst() {
    if (this.#hasFetched || this.#closed) return;
    try {
      throwIfAborted(this.#signal);
      await this.#fetch();
    } catch (error) {
      const isEnd = this.#closed || (this.#endsOnAbort && this.#signal?.aborted);
      await this.#close(error);
      // The next call of `next` rejects with the error.
      if (!isEnd) this.#failures.push(error);
    }
  }

  /** Fetches a page. Returns false at the end of the source. */
  async #fetch() {
    this.#source ??= this.#open();
    const page = await this.#source.next((id) => {
      this.#request = id;
    });
    this.#request = undefined;
    if (page === undefined) return false;
    this.#fill(page);
    this.#hasFetched = true;
    this.#readyDeferred?.resolve();
    return true;
  }

  /** Calls the caller's `onCaughtUp` and `onFile`. An error of theirs ends the iteration. */
  #notify() {
    if (this.#page?.idle === false) this.#hasNotifiedCaughtUp = false;
    if (this.live && !this.#hasNotifiedCaughtUp) {
      this.#hasNotifiedCaughtUp = true;
      this.#onCaughtUp?.();
    }
    const state = this.#state;
    if (state === undefined || this.#next >= this.#events.length) return;
    this.#state = undefined;
    this.#onFile?.(state);
  }

  #closedError() {
    return new ChronicleError('ECLOSED', 'the iteration ended before it had begun');
  }

  /** @param {Page} given */
  #fill(given) {
    const page = ownCopy(given);
    // Computed now: the cursor of an event needs its page, which is replaced here.
    void this.cursor;
    this.#page = page;
    this.#state = page.state ?? this.#state;
    this.#bytes = undefined;
    this.#events = page.batch === undefined ? this.#recordsOf(page) : [page.batch];
    this.#next = 0;
    this.#recordStart = 1;
  }

  /** @returns {IteratorResult<any, any>} */
  #take() {
    const index = this.#next;
    const page = /** @type {Page} */ (this.#page);
    const { batch, places } = page;
    if (batch !== undefined) {
      this.#page = ownCopy({ ...page, batch: undefined });
      this.#events = [];
      this.#cursor = batch.cursor;
      return { done: false, value: batch };
    }
    const event = this.#events[index];
    // A returned event is not kept in memory.
    this.#events[index] = undefined;
    this.#last = { index, begin: this.#recordStart };
    this.#next += 1;
    this.#recordStart += places[4 * index + 2] + 1;
    return { done: false, value: this.#positions ? positioned(event, places, index) : event };
  }

  /** @param {unknown} [error] */
  async #close(error = this.#closedError()) {
    this.#closed = true;
    this.#request = undefined;
    this.#readyDeferred?.reject(error);
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

// Older versions of Node.js 20 lack the symbol.
if (Symbol.asyncDispose) {
  Object.defineProperty(RecordIterator.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    /** @this {RecordIterator} */
    async value() {
      await this.return();
    },
  });
}

module.exports = { RecordIterator };
