'use strict';

const { ChronicleError, reading } = require('../binding/errors.js');
const { attempt } = require('../binding/port.js');

/** @typedef {import('../../index.d.ts').AbortSignalLike} Signal */

/**
 * A signal for any number of listeners: an `AbortSignal` warns of more than ten.
 *
 * @implements {Signal}
 */
class SharedSignal {
  aborted = false;
  /** @type {unknown} */
  reason;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** @param {'abort'} _type @param {() => void} listener */
  addEventListener(_type, listener) {
    this.#listeners.add(listener);
  }

  /** @param {'abort'} _type @param {() => void} listener */
  removeEventListener(_type, listener) {
    this.#listeners.delete(listener);
  }

  /** @param {unknown} reason */
  abort(reason) {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    for (const listener of [...this.#listeners]) listener();
  }
}

/**
 * The pending work of a handle. Closing waits for accepted work and aborts the rest.
 */
class Closing {
  #path;
  #stop = new SharedSignal();
  /**
   * The signals of callers, each merged with the closing signal once, though calls may share it.
   *
   * @type {Map<Signal, { stop: SharedSignal, users: number, forward: () => void }>}
   */
  #merged = new Map();
  /** @type {Set<Promise<unknown>>} */
  #accepted = new Set();
  /** @type {Set<() => unknown>} */
  #endings = new Set();
  #isClosed = false;
  /** @type {Promise<void> | undefined} */
  #closed;

  /** @param {string} path for the errors */
  constructor(path) {
    this.#path = path;
  }

  /** Aborted by closing. */
  get signal() {
    return this.#stop;
  }

  /** Throws if the handle is closed. */
  check() {
    if (this.#isClosed) throw this.#error();
  }

  /**
   * Does work that closing waits for.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async accept(work) {
    if (this.#isClosed) throw Object.assign(this.#error(), { written: 'no' });
    const promise = work();
    this.#accepted.add(promise);
    try {
      return await promise;
    } finally {
      this.#accepted.delete(promise);
    }
  }

  /**
   * A signal that aborts with the caller's signal and with closing. Call `end` once the signal is
   * no longer used.
   *
   * @param {Signal} [caller]
   * @param {() => unknown} [close] is called, and awaited, by closing
   */
  begin(caller, close) {
    this.check();
    const signal = caller === undefined ? this.signal : this.#merge(caller);
    if (close !== undefined) this.#endings.add(close);
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      if (caller !== undefined) this.#release(caller);
      if (close !== undefined) this.#endings.delete(close);
    };
    return { signal, end };
  }

  /** @param {Signal} caller */
  #merge(caller) {
    const known = this.#merged.get(caller);
    if (known !== undefined) {
      known.users += 1;
      return known.stop;
    }
    const stop = new SharedSignal();
    const forward = () => stop.abort(reasonOf(caller));
    reading('signal', () => {
      if (caller.aborted) forward();
      else caller.addEventListener('abort', forward);
    });
    // Stored last: a signal that throws must have no users.
    this.#merged.set(caller, { stop, users: 1, forward });
    return stop;
  }

  /** @param {Signal} caller */
  #release(caller) {
    const known = this.#merged.get(caller);
    if (known === undefined) return;
    known.users -= 1;
    if (known.users > 0) return;
    this.#merged.delete(caller);
    attempt((signal) => signal.removeEventListener('abort', known.forward), caller);
  }

  /** Closes the handle. Every call returns the same promise. */
  close() {
    this.#isClosed = true;
    this.#closed ??= this.#end();
    return this.#closed;
  }

  async #end() {
    const endings = [...this.#endings];
    const reason = this.#error();
    for (const { stop } of this.#merged.values()) stop.abort(reason);
    this.#stop.abort(reason);
    // The outcome of each piece of work goes to its caller.
    await Promise.allSettled([...this.#accepted, ...endings.map(async (close) => close())]);
  }

  #error() {
    return new ChronicleError('ECLOSED', 'the chronicle was closed', { path: this.#path });
  }
}

/**
 * @param {Signal} signal
 * @returns {unknown}
 */
function reasonOf(signal) {
  try {
    return signal.reason;
  } catch (thrown) {
    return thrown;
  }
}

module.exports = { Closing };
