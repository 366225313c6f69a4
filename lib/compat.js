'use strict';

// The functions of the TypeScript predecessor that have a better replacement here. Each is a thin
// wrapper.

const { access, mkdir } = require('node:fs/promises');
const { dirname, isAbsolute, normalize } = require('node:path');
const { appendOne, asNotWritten } = require('./append/append.js');
const { descriptorsOf, lockChronicles } = require('./append/lock.js');
const {
  ChronicleError,
  causeOf,
  invalid,
  isChronicleError,
  reading,
} = require('./binding/errors.js');
const { WINDOW, readOptions } = require('./binding/options.js');
const { ownCopy } = require('./binding/own-properties.js');
const { pathText, shownPath } = require('./binding/path.js');
const { printable } = require('./binding/printable.js');
const { joined } = require('./binding/working-folder.js');
const { readChronicle, readPages, tailChronicle } = require('./read/read.js');

/** @typedef {import('../index.d.ts').PathOrUrl} PathOrUrl */

const ANY_PATH = { anyExtension: true };

/**
 * Any path of a file, also with `..`. A trailing slash is kept, so that the path still names no
 * file.
 *
 * @param {unknown} path
 */
function anyPath(path) {
  const name = pathText(path);
  if (name === '') return name;
  return isAbsolute(name) ? normalize(name) : joined(name);
}

/**
 * @param {PathOrUrl} path
 * @param {unknown} event
 * @param {number} [timeoutMs]
 * @returns {Promise<void>}
 */
async function atomicAppendEvent(path, event, timeoutMs) {
  const options = { lockTimeoutMs: timeoutMs, computeId: false };
  const file = asNotWritten(path, () => anyPath(path));
  await appendOne(file, event, options, { ...ANY_PATH, lenient: true });
}

/** @param {PathOrUrl} path */
async function readChronicleFile(path) {
  return readChronicle(anyPath(path), ANY_PATH);
}

/** @param {PathOrUrl} path @param {number} [n] */
async function tailChronicleFile(path, n) {
  return tailChronicle(anyPath(path), n, ANY_PATH);
}

/** @param {PathOrUrl} path */
async function fileExists(path) {
  try {
    await access(pathText(path));
    return true;
  } catch {
    return false;
  }
}

/** @param {PathOrUrl} path */
async function ensureChronicleDirectory(path) {
  const folder = dirname(pathText(path));
  try {
    await mkdir(folder, { recursive: true });
  } catch (thrown) {
    const cause = causeOf(thrown);
    throw new ChronicleError('EIO', `could not make ${printable(folder)}: ${cause.message}`, {
      path: shownPath(path),
      cause,
    });
  }
}

/** @param {PathOrUrl} path @param {string} eventId @param {unknown} [options] */
async function isDuplicateEvent(path, eventId, options) {
  const answers = await batchCheckDuplicates(path, [eventId], options);
  return answers.get(eventId) === true;
}

/** @param {PathOrUrl} path @param {string} eventId */
async function isDuplicateUsingIndex(path, eventId) {
  return isDuplicateEvent(path, eventId);
}

/**
 * Whether a file has each id, as the id or the key of any record: so an append decides, too.
 *
 * @param {PathOrUrl} path
 * @param {readonly string[]} eventIds
 * @param {unknown} [options]
 * @returns {Promise<Map<string, boolean>>}
 */
async function batchCheckDuplicates(path, eventIds, options) {
  readOptions(options, WINDOW);
  const file = anyPath(path);
  if (!Array.isArray(eventIds)) throw invalid('eventIds must be an array');
  /** @type {Map<string, boolean>} */
  const answers = new Map();
  for (const id of reading('eventIds', () => [...eventIds])) {
    if (typeof id !== 'string' || id === '') throw invalid('eventId must be a non-empty string');
    answers.set(id, false);
  }
  try {
    await readPages(file, ANY_PATH, (events) => {
      for (const event of events) {
        const { eventId, idempotencyKey } = ownCopy(event);
        for (const id of [eventId, idempotencyKey]) if (answers.has(id)) answers.set(id, true);
      }
    });
  } catch (error) {
    // The append that follows reports why the file cannot be read.
    if (!isChronicleError(error)) throw error;
    for (const id of answers.keys()) answers.set(id, false);
  }
  return answers;
}

/** @param {PathOrUrl} path */
async function maintainEventIndex(path) {
  pathText(path);
}

/**
 * @param {PathOrUrl} path
 * @param {number} [timeoutMs]
 */
async function acquireLock(path, timeoutMs) {
  const lock = await lockChronicles([path], { lockTimeoutMs: timeoutMs });
  const [fd = -1] = descriptorsOf(lock);
  return { fd, path: shownPath(path), release: lock.release };
}

/** @param {PathOrUrl} _path */
async function cleanStaleLocks(_path) {
  // The kernel releases the locks of a process that ended, so no lock is stale.
}

module.exports = {
  acquireLock,
  atomicAppendEvent,
  batchCheckDuplicates,
  cleanStaleLocks,
  ensureChronicleDirectory,
  fileExists,
  isDuplicateEvent,
  isDuplicateUsingIndex,
  maintainEventIndex,
  readChronicleFile,
  tailChronicleFile,
};
