'use strict';

/**
 * An iterator over a chronicle that somebody may close meanwhile: after that, `next` rejects.
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
   *   `end` is called when it is over
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
      // What was cut short must not look like all there is. What has no end may simply end.
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

// Not there in older versions of Node.js 20.
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
 * An iterator that rejects, once.
 *
 * @param {unknown} error
 */
function failedIterator(error) {
  const ready = Promise.reject(error);
  // Nobody need wait for it.
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
