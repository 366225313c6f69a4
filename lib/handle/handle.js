'use strict';

const { appendAll, appendOne, asNotWritten } = require('../append/append.js');
const {
  APPEND,
  COUNT,
  FOLLOW,
  MEMORY,
  OPEN,
  QUERY,
  READ,
  STREAM,
  VERIFY,
  readOptions,
  withoutPath,
} = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { validateChroniclePath } = require('../binding/path.js');
const { throwIfAborted } = require('../binding/port.js');
const { absolute } = require('../binding/working-folder.js');
const { verifyChronicle } = require('../check/verify.js');
const { eventText, eventTexts } = require('../event/text.js');
const { followChronicle } = require('../read/follow.js');
const {
  countEvents,
  queryChronicle,
  readChronicle,
  readPages,
  tailChronicle,
} = require('../read/read.js');
const { streamChronicle } = require('../read/stream.js');
const { EventCache } = require('./cache.js');
const { stamped } = require('./clock.js');
const { Closing } = require('./closing.js');
const { Iteration, failedIterator } = require('./iteration.js');
const { reuseOptions } = require('./reuse.js');
const { isPromise, validated } = require('./schema.js');

/** @typedef {import('../../index.d.ts').AbortSignalLike} Signal */

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<any>}
 */
async function openChronicle(path, options) {
  const { anyExtension = false, [MEMORY]: memory, ...known } = readOptions(options, OPEN);
  const place = { anyExtension, ...(memory !== undefined && { [MEMORY]: memory }) };
  // Absolute before the first wait: the working folder may change.
  const file = absolute(validateChroniclePath(path, { anyExtension }));
  // Reads one record, which fails if the file cannot be read. Bad lines are no error here.
  await readPages(file, { ...place, tail: 1, onBadLine: () => {} }, () => {});
  return new Chronicle(file, place, known);
}

/**
 * Abandoned iterators. The garbage collector closes their files, so nothing here may hold them.
 *
 * @type {FinalizationRegistry<() => void>}
 */
const abandoned = new FinalizationRegistry((end) => end());

/** An open chronicle: the functions on a path as methods, without the path. */
class Chronicle {
  #file;
  #place;
  #clock;
  #schema;
  #rules;
  #closing;
  /** @type {EventCache | undefined} made by the first read, which many handles never do */
  #cache;

  /**
   * @param {string} file absolute
   * @param {Record<string | symbol, any>} place options for every function on the file
   * @param {Record<string, any>} options
   */
  constructor(file, place, options) {
    const { clock, validate = 'contract' } = ownCopy(options);
    this.#file = file;
    this.#place = place;
    this.#clock = clock;
    this.#schema = typeof validate === 'string' ? undefined : validate;
    this.#rules = { lenient: validate !== 'contract' };
    this.#closing = new Closing(file);
  }

  get path() {
    return this.#file;
  }

  /** What `console.log` shows. */
  [Symbol.for('nodejs.util.inspect.custom')]() {
    return `Chronicle { path: ${JSON.stringify(this.#file)} }`;
  }

  /** @param {unknown} event @param {unknown} [options] */
  async append(event, options) {
    return this.#appending(options, (known) => {
      if (!this.#changes) return appendOne(this.#file, event, known, this.#rules);
      const prepared = asNotWritten(this.#file, () => this.#prepared(eventText(event)));
      const stream = (/** @type {object} */ more) =>
        streamChronicle(this.#file, { ...more, ...this.#place });
      return this.#whenReady(prepared, (ready) =>
        appendOne(this.#file, ready, known, { ...this.#rules, ...reuseOptions(ready, stream) }),
      );
    });
  }

  /** @param {readonly unknown[]} events @param {unknown} [options] */
  async appendMany(events, options) {
    return this.#appending(options, (known) => {
      if (!this.#changes) return appendAll(this.#file, events, known, this.#rules);
      const prepared = asNotWritten(this.#file, () =>
        Array.from(eventTexts(events), (text, index) => this.#prepared(text, index)),
      );
      const all = prepared.some(isPromise) ? Promise.all(prepared) : prepared;
      return this.#whenReady(all, (ready) => appendAll(this.#file, ready, known, this.#rules));
    });
  }

  /** @param {unknown} [options] */
  async read(options) {
    return this.#reading(options, READ, (known) => {
      const { onBadLine = 'skip', positions = false, signal } = ownCopy(known);
      if (onBadLine !== 'skip') return readChronicle(this.#file, known);
      this.#cache ??= new EventCache(this.#file, {
        ...this.#place,
        signal: this.#closing.signal,
      });
      return unlessAborted(this.#cache.read(positions), signal);
    });
  }

  /** @param {number} [n] @param {unknown} [options] */
  async tail(n, options) {
    return this.#reading(options, READ, (known) => tailChronicle(this.#file, n, known));
  }

  /** @param {unknown} [options] */
  stream(options) {
    return this.#iterating(options, STREAM, streamChronicle, false);
  }

  /** @param {unknown} [options] */
  follow(options) {
    return this.#iterating(options, FOLLOW, followChronicle, true);
  }

  /** @param {unknown} where @param {unknown} [options] */
  async query(where, options) {
    return this.#reading(options, QUERY, (known) => queryChronicle(this.#file, where, known));
  }

  /** @param {unknown} [where] @param {unknown} [options] */
  async count(where, options) {
    return this.#reading(options, COUNT, (known) => countEvents(this.#file, where, known));
  }

  /** @param {unknown} [options] */
  async verify(options) {
    return this.#reading(options, VERIFY, (known) => verifyChronicle(this.#file, known));
  }

  async close() {
    await this.#closing.close();
    this.#cache?.clear();
  }

  /** Whether a clock or a schema may change events before the append. */
  get #changes() {
    return this.#clock !== undefined || this.#schema !== undefined;
  }

  /**
   * The event to append, or a promise of it. The clock stamps before the schema, which may require
   * the time, and after the schema, which may drop the time.
   *
   * @param {string} text
   * @param {number} [index]
   */
  #prepared(text, index) {
    const stamp = (/** @type {string} */ json, /** @type {object} */ source = {}) =>
      this.#clock === undefined ? JSON.parse(json) : stamped(json, this.#clock, source);
    const event = stamp(text);
    if (this.#schema === undefined) return event;
    const output = validated(this.#schema, event, index);
    const finish = (/** @type {unknown} */ value) => stamp(eventText(value, index), event);
    if (!isPromise(output)) return finish(output);
    const finished = output.then(finish);
    // Not an unhandled rejection: its batch may fail before this promise is awaited.
    finished.catch(() => {});
    return finished;
  }

  /**
   * Appends at once what is prepared already, so that appends keep the order of their calls. The
   * result of an asynchronous schema is awaited first.
   *
   * @param {any} prepared
   * @param {(ready: any) => Promise<any>} append
   */
  async #whenReady(prepared, append) {
    if (!isPromise(prepared)) return append(prepared);
    let ready;
    try {
      ready = await prepared;
    } catch (error) {
      throw Object.assign(/** @type {Error} */ (error), { path: this.#file, written: 'no' });
    }
    return append(ready);
  }

  /**
   * @param {unknown} options
   * @param {(known: Record<string, any>) => Promise<any>} work
   */
  #appending(options, work) {
    return this.#closing.accept(async () => {
      const known = asNotWritten(this.#file, () => readOptions(options, withoutPath(APPEND)));
      return work({ ...known, ...this.#place });
    });
  }

  /**
   * @param {unknown} options
   * @param {typeof READ} kinds
   * @param {(known: Record<string, any>) => Promise<any>} work
   */
  async #reading(options, kinds, work) {
    this.#closing.check();
    const known = readOptions(options, withoutPath(kinds));
    const { signal, end } = this.#closing.begin(known.signal);
    try {
      throwIfAborted(signal);
      return await work({ ...known, ...this.#place, signal });
    } finally {
      end();
    }
  }

  /**
   * @param {unknown} options
   * @param {typeof STREAM} kinds
   * @param {(path: string, options: any) => any} start
   * @param {boolean} isEndless
   */
  #iterating(options, kinds, start, isEndless) {
    try {
      const known = readOptions(options, withoutPath(kinds));
      /** @type {WeakRef<Iteration>} */
      let weak;
      const { signal, end } = this.#closing.begin(known.signal, () => weak.deref()?.return());
      const iterator = start(this.#file, { ...known, ...this.#place, signal });
      const iteration = new Iteration(iterator, { closing: this.#closing, end, isEndless });
      weak = new WeakRef(iteration);
      abandoned.register(iteration, end);
      return iteration;
    } catch (error) {
      const end = () => {};
      return new Iteration(failedIterator(error), { closing: this.#closing, end, isEndless });
    }
  }
}

if (typeof Symbol.asyncDispose === 'symbol') {
  Object.defineProperty(Chronicle.prototype, Symbol.asyncDispose, {
    value: Chronicle.prototype.close,
    configurable: true,
    writable: true,
  });
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {Signal} signal
 * @returns {Promise<T>}
 */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      try {
        throwIfAborted(signal);
      } catch (reason) {
        reject(reason);
      }
    };
    signal.addEventListener('abort', abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

module.exports = { openChronicle };
