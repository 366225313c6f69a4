'use strict';

const { resolve } = require('node:path');
const { appendOne, asNotWritten } = require('../append/append.js');
const { isChronicleError } = require('../binding/errors.js');
const {
  ADAPTER,
  FOLLOW,
  QUERY,
  STREAM,
  readOptions,
  withoutPath,
} = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { validateChroniclePath } = require('../binding/path.js');
const { absolute } = require('../binding/working-folder.js');
const { eventText } = require('../event/text.js');
const { followChronicle } = require('../read/follow.js');
const { queryChronicle, readChronicle, tailChronicle } = require('../read/read.js');
const { streamChronicle } = require('../read/stream.js');
const { stamped, systemClock } = require('./clock.js');
const { failedIterator } = require('./iteration.js');
const { reuseOptions } = require('./reuse.js');

/**
 * The storage of an adapter's chronicles. Paths are checked already; `more` has options that only
 * the binding has.
 *
 * @typedef {object} Store
 * @property {(path: string, event: object, more: object) => Promise<Receipt>} append
 * @property {(path: string, options: object) => Promise<any[]>} read
 * @property {(path: string, n: number | undefined, options: object) => Promise<any[]>} tail
 * @property {(path: string, where: unknown, options: object) => Promise<any[]>} query
 * @property {(path: string, options: object) => any} stream
 * @property {(path: string, options: object) => any} follow
 *
 * @typedef {import('../../index.d.ts').PathOrUrl} PathOrUrl
 * @typedef {import('../../index.d.ts').Receipt} Receipt
 */

/**
 * @param {unknown} [options]
 * @returns {import('../../types/handle.d.ts').Adapter}
 */
function createAdapter(options) {
  const { baseDir, ...known } = readOptions(options, ADAPTER);
  const base = baseDir === undefined ? undefined : absolute(baseDir);
  const place = (/** @type {string} */ path) => (base === undefined ? path : resolve(base, path));
  const log = lenientLog(fileStore(place), known);
  return {
    read: log.read,
    tail: log.tail,
    query: log.query,
    stream: log.stream,
    follow: log.follow,
    async append(path, event) {
      await log.append(path, event);
    },
  };
}

/**
 * The store that keeps each chronicle in the file that `place` names.
 *
 * @param {(path: string) => string} place
 * @param {object} [appendOptions]
 * @returns {Store}
 */
function fileStore(place, appendOptions) {
  return {
    append: (path, event, more) => appendOne(place(path), event, appendOptions, more),
    read: (path, options) => readChronicle(place(path), options),
    tail: (path, n, options) => tailChronicle(place(path), n, options),
    query: (path, where, options) =>
      queryChronicle(place(path), /** @type {any} */ (where), options),
    stream: (path, options) => streamChronicle(place(path), options),
    follow: (path, options) => followChronicle(place(path), options),
  };
}

/**
 * The common part of adapters and test chronicles. Its `append` returns the receipt.
 *
 * @param {Store} store
 * @param {Record<string, any>} options
 */
function lenientLog(store, options) {
  const { clock = systemClock, anyExtension = false } = ownCopy(options);
  // Checked before the store resolves the path, which removes `..` segments.
  const checkedPath = (/** @type {PathOrUrl} */ path) =>
    validateChroniclePath(path, { anyExtension });
  /**
   * @param {unknown} more
   * @param {typeof STREAM} kinds
   * @param {(known: object) => any} start
   */
  const iterating = (more, kinds, start) => {
    try {
      const iterator = start({ ...readOptions(more, withoutPath(kinds)), anyExtension });
      const next = iterator.next.bind(iterator);
      const value = () => withCodeInMessage(next);
      return Object.defineProperty(iterator, 'next', { configurable: true, value, writable: true });
    } catch (error) {
      return failedIterator(withCode(error));
    }
  };
  return {
    /** @param {PathOrUrl} path */
    read: (path) => withCodeInMessage(async () => store.read(checkedPath(path), { anyExtension })),

    /** @param {PathOrUrl} path @param {number} [n] */
    tail: (path, n) =>
      withCodeInMessage(async () => store.tail(checkedPath(path), n, { anyExtension })),

    /** @param {PathOrUrl} path @param {unknown} [where] @param {unknown} [more] */
    query: (path, where, more) =>
      withCodeInMessage(async () =>
        store.query(checkedPath(path), where, {
          ...readOptions(more, withoutPath(QUERY)),
          anyExtension,
        }),
      ),

    /** @param {PathOrUrl} path @param {unknown} [more] */
    stream: (path, more) =>
      iterating(more, STREAM, (known) => store.stream(checkedPath(path), known)),

    /** @param {PathOrUrl} path @param {unknown} [more] */
    follow: (path, more) =>
      iterating(more, FOLLOW, (known) => store.follow(checkedPath(path), known)),

    /** @param {PathOrUrl} path @param {unknown} event */
    append: (path, event) =>
      withCodeInMessage(async () => {
        const { file, copy } = asNotWritten(path, () => ({
          file: checkedPath(path),
          copy: stamped(eventText(event), clock),
        }));
        const stream = (/** @type {object} */ more) =>
          store.stream(file, { ...more, anyExtension });
        const reuse = reuseOptions(copy, stream);
        return store.append(file, copy, { anyExtension, lenient: true, ...reuse });
      }),
  };
}

/**
 * Does the work. The message of an error begins with its code, which callers of adapters look for.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withCodeInMessage(work) {
  try {
    return await work();
  } catch (error) {
    throw withCode(error);
  }
}

/** @param {unknown} error */
function withCode(error) {
  if (isChronicleError(error)) error.message = `${error.code}: ${error.message}`;
  return error;
}

module.exports = { createAdapter, fileStore, lenientLog };
