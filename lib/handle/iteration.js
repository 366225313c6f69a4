'use strict';

/**
 * An iterator over a handle. Once the handle is closed, `next` rejects.
 *
 * @implements {AsyncIterableIterator<any>}
 */
class Iteration {
  #iterator;
  #closing;
  #end;
  #isEndless;

  /**
   * @param {AsyncIterator<any> & { readonly cursor?: string | undefined,
   *   readonly ready?: Promise<void>, readonly live?: boolean }} iterator
   * @param {{ closing: import('./closing.js').Closing, end: () => void, isEndless: boolean }} more
   *   `end` is called at the end of the iteration
   */
  constructor(iterator, { closing, end, isEndless }) {
    this.#iterator = iterator;
    this.#closing = closing;
    this.#end = end;
    this.#isEndless = isEndless;
  }

  get cursor() {
    return this.#iterator.cursor;
  }

  get ready() {
    return this.#iterator.ready;
  }

  get live() {
    return this.#iterator.live ?? false;
  }

  async next() {
    this.#closing.check();
    try {
      const result = await this.#iterator.next();
      if (!result.done) return result;
      // A truncated stream must not look complete; a follow has no end and may just stop.
      if (!this.#isEndless) this.#closing.check();
      this.#end();
      return result;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /** @param {any} [value] */
  async return(value) {
    this.#end();
    await this.#iterator.return?.();
    return { done: true, value };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

// Older versions of Node.js 20 lack the symbol.
if (Symbol.asyncDispose) {
  Object.defineProperty(Iteration.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    /** @this {Iteration} */
    async value() {
      await this.return();
    },
  });
}

/**
 * An iterator that rejects once.
 *
 * @param {unknown} error
 */
function failedIterator(error) {
  const ready = Promise.reject(error);
  // Not an unhandled rejection: the caller may ignore the promise.
  ready.catch(() => {});
  return Object.assign(rejecting(error), { ready });
}

/**
 * @param {unknown} error
 * @returns {AsyncGenerator<never, void, void>}
 */
async function* rejecting(error) {
  throw error;
}

module.exports = { Iteration, failedIterator };
