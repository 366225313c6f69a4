'use strict';

const { publishLocked, publishTimeout } = require('../binding/diagnostics.js');
const { causeOf, invalid } = require('../binding/errors.js');
const { Session } = require('../binding/native.js');
const { LOCK, readOptions, toNative } = require('../binding/options.js');
const { jsonOf } = require('../binding/own-properties.js');
const { pathText, shownPath, validateChroniclePath } = require('../binding/path.js');
const { openPort, request, throwIfAborted, unwrap } = require('../binding/port.js');
const { absolute } = require('../binding/working-folder.js');
const { appendOne } = require('./append.js');

/**
 * @typedef {import('../../types/lock.d.ts').ChronicleLock} ChronicleLock
 * @typedef {InstanceType<typeof Session>} NativeSession
 */

/** @type {WeakMap<object, NativeSession>} */
const sessions = new WeakMap();

/**
 * @param {readonly import('../../index.d.ts').PathOrUrl[]} paths
 * @param {unknown} [options]
 * @returns {Promise<ChronicleLock>}
 */
async function lockChronicles(paths, options) {
  // Any file can be locked, whatever its extension.
  const { signal, anyExtension: _, ...rest } = readOptions(options, LOCK);
  const names = pathTexts(paths);
  throwIfAborted(signal);
  // Absolute paths: the working directory may change while the lock is held.
  const files = names.map((name) => absolute(validateChroniclePath(name, { anyExtension: true })));
  const session = new Session(openPort(), jsonOf(files), toNative(rest));
  const begun = performance.now();
  const { outcome } = await request((_port, id) => session.acquire(id), signal);
  try {
    unwrap(outcome, { signal });
  } catch (error) {
    publishTimeout(error);
    throw error;
  }
  publishLocked(names, performance.now() - begun);
  return lockOf(session, names, files);
}

/**
 * The locked descriptors: those of the files and of their lock files. A process that inherits the
 * descriptors keeps the locks. The list is empty after the release.
 *
 * @param {ChronicleLock} lock
 * @returns {number[]}
 */
function descriptorsOf(lock) {
  return sessions.get(lock)?.descriptors() ?? [];
}

/**
 * @param {NativeSession} session
 * @param {string[]} names
 * @param {string[]} files their absolute names
 * @returns {ChronicleLock}
 */
function lockOf(session, names, files) {
  const known = new Map(names.map((name, index) => [name, files[index]]));
  /** @type {Promise<void> | undefined} */
  let released;
  const release = () => (released ??= releaseAll(session));
  const lock = {
    paths: Object.freeze(names),
    /** @type {ChronicleLock['append']} */
    append: (path, event, options) =>
      appendOne(known.get(shownPath(path)) ?? path, event, options, {}, session),
    release,
  };
  if (typeof Symbol.asyncDispose === 'symbol') {
    Object.defineProperty(lock, Symbol.asyncDispose, { value: release });
  }
  sessions.set(lock, session);
  return /** @type {ChronicleLock} */ (lock);
}

/** @param {NativeSession} session */
async function releaseAll(session) {
  const { outcome } = await request((_port, id) => session.release(id));
  unwrap(outcome);
}

/**
 * @param {any} paths
 * @returns {string[]}
 */
function pathTexts(paths) {
  /** @type {unknown[] | undefined} */
  let names;
  try {
    if (Array.isArray(paths)) names = Array.from(paths);
  } catch (thrown) {
    throw invalid('paths could not be read', { cause: causeOf(thrown) });
  }
  if (names === undefined || names.length === 0) {
    throw invalid('paths must be an array of one path or more');
  }
  return names.map(pathText);
}

module.exports = { descriptorsOf, lockChronicles };
