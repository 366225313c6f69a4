'use strict';

const binding = require('../binding.js');
const { ChronicleError, invalid } = require('./errors.js');
const { APPEND, APPEND_SYNC, FLUSH, readOptions, toNative } = require('./options.js');
const { pathText, validateChroniclePath } = require('./path.js');
const { request, throwIfAborted, unwrap } = require('./port.js');
const { eventText } = require('./text.js');

/**
 * @typedef {import('../index.d.ts').Receipt} Receipt
 * @typedef {Record<string, any>} Options
 */

// What may wait in the process at once; the binding counts bytes, and a text has at least as many
// bytes as code units.
const MOST_PENDING = 256 * 1024 * 1024;

/**
 * @param {string} path
 * @param {unknown} event
 * @param {unknown} [options]
 * @returns {Promise<Receipt>}
 */
async function append(path, event, options) {
  return appendOne(path, event, readOptions(options, APPEND));
}

/**
 * @param {string} path
 * @param {unknown} event
 * @param {unknown} [options] or the lock timeout in milliseconds
 * @returns {Promise<void>}
 */
async function appendEvent(path, event, options) {
  await appendOne(path, event, readOptions(timeoutOrOptions(options), APPEND));
}

/**
 * @param {string} path
 * @param {unknown} event
 * @param {unknown} [options] or the lock timeout in milliseconds
 * @returns {Promise<Receipt>}
 */
async function appendEventWithId(path, event, options) {
  const known = readOptions(timeoutOrOptions(options), APPEND);
  return appendOne(path, event, { ...known, requireId: true });
}

/**
 * @param {string} path
 * @param {readonly unknown[]} events
 * @param {unknown} [options]
 * @returns {Promise<Receipt[]>}
 */
async function appendEvents(path, events, options) {
  const known = readOptions(options, APPEND);
  pathText(path);
  if (!Array.isArray(events)) throw invalid('events must be an array');
  if (known.idempotencyKey !== undefined && events.length > 1) {
    throw invalid('option idempotencyKey is for one event, give each its own idempotencyKey field');
  }
  throwIfAborted(known.signal);
  if (events.length === 0) {
    validateChroniclePath(path, { anyExtension: known.anyExtension });
    return [];
  }
  const { signal, ...rest } = known;
  const text = batchText(events);
  const native = toNative(rest);
  const { outcome } = await request((port, id) => port.append(id, path, text, native), signal);
  return unwrap(outcome, { signal });
}

/**
 * @param {string} path
 * @param {unknown} event
 * @param {unknown} [options]
 * @returns {Receipt}
 */
function appendEventSync(path, event, options) {
  const known = readOptions(options, APPEND_SYNC);
  const outcome = binding.appendSync(pathText(path), eventText(event), toNative(known));
  return unwrap(outcome, { single: true })[0];
}

/** @param {unknown} [options] */
function flushSync(options) {
  let timeoutMs = 5000;
  try {
    timeoutMs = readOptions(options, FLUSH).timeoutMs ?? timeoutMs;
  } catch {
    // It runs in exit handlers, where an error would hide what the process ended for.
  }
  return binding.flushSync(timeoutMs);
}

/**
 * @param {unknown} path
 * @param {unknown} event
 * @param {Options} options
 * @returns {Promise<Receipt>}
 */
async function appendOne(path, event, options) {
  const name = pathText(path);
  throwIfAborted(options.signal);
  const { signal, ...rest } = options;
  const text = eventText(event);
  const native = toNative(rest);
  const { outcome } = await request((port, id) => port.append(id, name, text, native), signal);
  return unwrap(outcome, { signal, single: true })[0];
}

/**
 * The texts of a batch, one a line. Nothing that `JSON.stringify` writes has a raw newline.
 *
 * @param {readonly unknown[]} events
 */
function batchText(events) {
  const texts = [];
  let pending = 0;
  for (let index = 0; index < events.length; index += 1) {
    const text = eventText(events[index], index);
    pending += text.length;
    if (pending > MOST_PENDING) {
      throw new ChronicleError('EIO', 'batch is larger than the 256 MiB that may be pending', {
        written: 'no',
        cause: Object.assign(new Error('no buffer space available'), { code: 'ENOBUFS' }),
      });
    }
    texts.push(text);
  }
  return texts.join('\n');
}

/** @param {unknown} given */
function timeoutOrOptions(given) {
  return typeof given === 'number' ? { lockTimeoutMs: given } : given;
}

module.exports = {
  append,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  flushSync,
};
