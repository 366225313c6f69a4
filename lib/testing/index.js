'use strict';

const { rmSync } = require('node:fs');
const { basename, dirname, join, resolve } = require('node:path');
const { appendOne } = require('../append/append.js');
const { invalid } = require('../binding/errors.js');
const { Memory } = require('../binding/native.js');
const { ADAPTER, MEMORY, OPEN, readOptions } = require('../binding/options.js');
const { shownPath } = require('../binding/path.js');
const { absolute } = require('../binding/working-folder.js');
const { fileStore, lenientLog } = require('../handle/adapter.js');
const { openChronicle } = require('../handle/handle.js');
const { followChronicle } = require('../read/follow.js');
const { queryChronicle, readChronicle, tailChronicle } = require('../read/read.js');
const { streamChronicle } = require('../read/stream.js');
const matchers = require('./matchers.js');

/**
 * A store that can be emptied.
 *
 * @typedef {import('../handle/adapter.js').Store & { clear(): void }} TestStore
 */

// Appends of tests do not have to survive a power cut.
const APPEND_OPTIONS = { durability: 'os' };

/**
 * @param {unknown} [options]
 * @returns {import('../../testing.d.ts').TestChronicle}
 */
function makeChronicle(options) {
  const { baseDir, ...known } = readOptions(options, ADAPTER);
  const base = baseDir === undefined ? undefined : absolute(baseDir);
  const store = base === undefined ? memoryStore() : folderStore(base);
  const log = lenientLog(store, known);
  /** @type {Map<string, { path: string, count: number }>} by absolute path */
  const chronicles = new Map();
  const placeOf = (/** @type {string} */ path) =>
    base === undefined ? absolute(path) : resolve(base, path);
  const keyOf = (/** @type {unknown} */ path) => {
    const name = shownPath(path);
    return typeof name === 'string' ? placeOf(name) : '';
  };

  return {
    read: log.read,
    query: log.query,
    stream: log.stream,
    follow: log.follow,

    async append(path, event) {
      const key = keyOf(path);
      const { seq } = await log.append(path, event);
      const before = chronicles.get(key) ?? { path: shownPath(path), count: 0 };
      // The seq of a duplicate is that of the original record.
      chronicles.set(key, { path: before.path, count: Math.max(before.count, seq) });
    },

    async *tail(path, fromIndex = 0) {
      if (!Number.isInteger(fromIndex) || fromIndex < 0) {
        throw invalid('EVALIDATION: fromIndex must be an integer, 0 or more');
      }
      for (const event of (await log.read(path)).slice(fromIndex)) yield event;
    },

    getAllPaths: () => Array.from(chronicles.values(), ({ path }) => path),

    getEventCount: (path) => chronicles.get(keyOf(path))?.count ?? 0,

    async findEvents(path, partial) {
      if (typeof partial !== 'object' || partial === null) {
        throw invalid('EVALIDATION: partial must be an object');
      }
      const wanted = Object.entries(partial);
      const events = await log.read(path);
      return events.filter((event) => wanted.every(([field, value]) => event[field] === value));
    },

    clear() {
      chronicles.clear();
      store.clear();
    },
  };
}

/**
 * Keeps every chronicle in memory, by the same code as files except for the disk.
 *
 * @returns {TestStore}
 */
function memoryStore() {
  let memory = new Memory();
  const inMemory = (/** @type {object} */ options) => ({ ...options, [MEMORY]: memory });
  return {
    append: (path, event, more) => appendOne(path, event, inMemory(APPEND_OPTIONS), more),
    read: (path, options) => readChronicle(path, inMemory(options)),
    tail: (path, n, options) => tailChronicle(path, n, inMemory(options)),
    query: (path, where, options) =>
      queryChronicle(path, /** @type {any} */ (where), inMemory(options)),
    stream: (path, options) => streamChronicle(path, inMemory(options)),
    follow: (path, options) => followChronicle(path, inMemory(options)),
    clear() {
      memory = new Memory();
    },
  };
}

/**
 * Keeps chronicles in a folder. `clear` removes those that were appended to.
 *
 * @param {string} folder
 * @returns {TestStore}
 */
function folderStore(folder) {
  /** @type {Set<string>} */
  const used = new Set();
  const place = (/** @type {string} */ path) => resolve(folder, path);
  const store = fileStore(place, APPEND_OPTIONS);
  return {
    ...store,
    append(path, event, more) {
      used.add(place(path));
      return store.append(path, event, more);
    },
    clear() {
      for (const file of used) {
        const side = join(dirname(file), `.${basename(file)}.chronicle-`);
        for (const name of [file, `${side}index`, `${side}lock`]) rmSync(name, { force: true });
      }
      used.clear();
    },
  };
}

/** What errors name as the path of a chronicle in memory. */
const MEMORY_PATH = resolve('/memory/log.sage');

/**
 * @param {unknown} [options]
 * @returns {Promise<any>}
 */
async function openMemoryChronicle(options) {
  return openChronicle(MEMORY_PATH, { ...readOptions(options, OPEN), [MEMORY]: new Memory() });
}

/** @type {typeof import('../../testing.d.ts')} */
const testing = { makeChronicle, openMemoryChronicle, matchers, ...matchers };

module.exports = testing;
