'use strict';

const { dropCallSite, keepCallSite } = require('../binding/call-site.js');
const {
  hasBatchSubscribers,
  hasSubscribers,
  publishing,
  publishingSync,
} = require('../binding/diagnostics.js');
const { ChronicleError, invalid } = require('../binding/errors.js');
const native = require('../binding/native.js');
const {
  APPEND,
  APPEND_LINES,
  APPEND_SYNC,
  FLUSH,
  MEMORY,
  ON_ID_REUSED,
  readOptions,
  toNative,
} = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { pathText, shownPath, validateChroniclePath } = require('../binding/path.js');
const { openPort, request, throwIfAborted, unwrap } = require('../binding/port.js');
const { eventCount, eventText, lineBytes, textAt } = require('../event/text.js');

/**
 * @typedef {import('../../index.d.ts').Receipt} Receipt
 * @typedef {Record<string | symbol, any>} Options
 * @typedef {Pick<InstanceType<typeof native.Port>, 'append'>} Appender
 */

// Pending events of the process, as the binding limits them in bytes. Here the limit keeps the text
// of a batch below V8's maximum string length: a text has at least as many bytes as code units.
const MAX_PENDING_BYTES = 256 * 1024 * 1024;

/** @type {Record<string | symbol, any>} */
const NO_OPTIONS = Object.freeze({ __proto__: null });

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} event
 * @param {unknown} [options]
 * @returns {Promise<Receipt>}
 */
function append(path, event, options) {
  return appendOne(path, event, options);
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} event
 * @param {unknown} [options] or the lock timeout in milliseconds
 * @returns {Promise<void>}
 */
async function appendEvent(path, event, options) {
  await appendOne(path, event, timeoutOrOptions(options));
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} event
 * @param {unknown} [options] or the lock timeout in milliseconds
 * @returns {Promise<Receipt>}
 */
function appendEventWithId(path, event, options) {
  return appendOne(path, event, timeoutOrOptions(options), { requireId: true });
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {readonly unknown[]} events
 * @param {unknown} [options]
 * @returns {Promise<Receipt[]>}
 */
function appendEvents(path, events, options) {
  return appendAll(path, events, options);
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {readonly unknown[]} events
 * @param {unknown} options
 * @param {Options} [more] options that only the binding has
 * @returns {Promise<Receipt[]>}
 */
function appendAll(path, events, options, more) {
  return hasSubscribers()
    ? publishing(shownPath(path), () => submitBatch(path, events, options, more))
    : submitBatch(path, events, options, more);
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {readonly unknown[]} events
 * @param {unknown} options
 * @param {Options} [more]
 * @returns {Promise<Receipt[]>}
 */
async function submitBatch(path, events, options, more) {
  const { name, signal, known } = readArguments(path, options, APPEND);
  const count = asNotWritten(path, () => eventCount(events));
  if (count > 1) checkKey(name, known);
  throwIfAborted(signal);
  if (count === 0) {
    const { anyExtension } = ownCopy({ ...known, ...more });
    asNotWritten(path, () => validateChroniclePath(name, { anyExtension }));
    return [];
  }
  const text = asNotWritten(path, () => batchText(events, count));
  const nativeOptions = toNative({ ...known, ...more });
  const memory = known[MEMORY];
  const site = keepCallSite(known.durability);
  try {
    const { outcome } = await request(
      (port, id) => port.append(id, name, text, nativeOptions, memory),
      signal,
    );
    return unwrap(outcome, { signal, path: name, site });
  } finally {
    dropCallSite(site);
  }
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {string | Uint8Array} lines
 * @param {unknown} [options]
 * @returns {Promise<Receipt[]>}
 */
function appendLines(path, lines, options) {
  const append = () => submitBytes(path, lines, options, APPEND_LINES, { wholeLines: true });
  return hasSubscribers() ? publishing(shownPath(path), append) : append();
}

/**
 * Appends events given as JSON texts, one a line. Their digits and escapes are kept. An object with
 * a duplicate key is refused.
 *
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {Uint8Array[]} lines none of them blank
 * @param {unknown} [options]
 * @returns {Promise<Receipt[]>}
 */
async function appendTexts(path, lines, options) {
  const { name, known } = readArguments(path, options, APPEND);
  if (lines.length > 1) checkKey(name, known);
  const length = lines.reduce((sum, line) => sum + line.length + 1, 0);
  const bytes = Buffer.alloc(length, '\n');
  let end = 0;
  for (const line of lines) {
    bytes.set(line, end);
    end += line.length + 1;
  }
  const append = () => submitBytes(path, bytes, options, APPEND, { uniqueKeys: true });
  return hasSubscribers() ? publishing(shownPath(path), append) : append();
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} lines
 * @param {unknown} options
 * @param {typeof APPEND} kinds
 * @param {Options} more options that only the binding has
 * @returns {Promise<Receipt[]>}
 */
async function submitBytes(path, lines, options, kinds, more) {
  const { name, signal, known } = readArguments(path, options, kinds);
  throwIfAborted(signal);
  const bytes = asNotWritten(path, () => {
    if (typeof lines === 'string' && lines.length > MAX_PENDING_BYTES) throw batchTooLarge();
    const read = lineBytes(lines);
    if (read.length > MAX_PENDING_BYTES) throw batchTooLarge();
    return read;
  });
  const nativeOptions = toNative({ ...known, ...more });
  const memory = known[MEMORY];
  const site = keepCallSite(known.durability);
  try {
    const { outcome } = await request(
      (port, id) => port.appendBytes(id, name, bytes, nativeOptions, memory),
      signal,
    );
    return unwrap(outcome, { signal, path: name, site });
  } finally {
    dropCallSite(site);
  }
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} event
 * @param {unknown} [options]
 * @returns {Receipt}
 */
function appendEventSync(path, event, options) {
  return hasSubscribers()
    ? publishingSync(shownPath(path), () => submitSync(path, event, options))
    : submitSync(path, event, options);
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} event
 * @param {unknown} options
 * @returns {Receipt}
 */
function submitSync(path, event, options) {
  const { name, known } = readArguments(path, options, APPEND_SYNC);
  const text = asNotWritten(path, () => eventText(event));
  // Only a port publishes batches, and opening one costs more than a synchronous append.
  const by = hasBatchSubscribers() ? openPort() : native;
  const outcome = by.appendSync(name, text, toNative(known));
  return unwrap(outcome, { path: name, single: true })[0];
}

/** @param {unknown} [options] */
function flushSync(options) {
  let timeoutMs = 5000;
  try {
    timeoutMs = readOptions(options, FLUSH).timeoutMs ?? timeoutMs;
  } catch {
    // An error thrown in an exit handler would hide the reason why the process ends.
  }
  return native.flushSync(timeoutMs);
}

/**
 * @param {unknown} path
 * @param {unknown} event
 * @param {unknown} options
 * @param {Options} [more] options that only the binding has
 * @param {Appender} [by] receives the append instead of the port
 * @returns {Promise<Receipt>}
 */
function appendOne(path, event, options, more, by) {
  return hasSubscribers()
    ? publishing(shownPath(path), () => submitAppend(path, event, options, more, by))
    : submitAppend(path, event, options, more, by);
}

/**
 * @param {unknown} path
 * @param {unknown} event
 * @param {unknown} options
 * @param {Options} [more]
 * @param {Appender} [by]
 * @returns {Promise<Receipt>}
 */
async function submitAppend(path, event, options, more, by) {
  const { name, signal, known } = readArguments(path, options, APPEND);
  throwIfAborted(signal);
  const text = asNotWritten(path, () => eventText(event));
  const nativeOptions = toNative(more === undefined ? known : { ...known, ...more });
  const memory = known[MEMORY];
  const site = keepCallSite(known.durability);
  try {
    const { outcome } = await request(
      (port, id) => (by ?? port).append(id, name, text, nativeOptions, memory),
      signal,
    );
    const onIdReused = more?.[ON_ID_REUSED];
    if (onIdReused === undefined) {
      return unwrap(outcome, { signal, path: name, single: true, site })[0];
    }
    /** @type {(() => void)[]} */
    const withheld = [];
    const [receipt] = unwrap(outcome, { signal, path: name, single: true, site, withheld });
    for (const warn of withheld) await onIdReused(receipt, warn);
    return receipt;
  } finally {
    dropCallSite(site);
  }
}

/**
 * Path and options of an append.
 *
 * @param {unknown} path
 * @param {unknown} options
 * @param {typeof APPEND} kinds
 */
function readArguments(path, options, kinds) {
  return asNotWritten(path, () => {
    if (options === undefined)
      return { name: pathText(path), signal: undefined, known: NO_OPTIONS };
    const known = readOptions(options, kinds);
    const { signal } = known;
    // One object for the whole call: a copy for each step made a thousand appends in flight 20 %
    // slower.
    delete known.signal;
    return { name: pathText(path), signal, known };
  });
}

/**
 * Runs a check before an append is submitted. An error of the check reports `written: 'no'`.
 *
 * @template T
 * @param {unknown} path
 * @param {() => T} check
 * @returns {T}
 */
function asNotWritten(path, check) {
  try {
    return check();
  } catch (error) {
    const name = shownPath(path);
    const where = typeof name === 'string' ? { path: name } : {};
    throw Object.assign(/** @type {Error} */ (error), { ...where, written: 'no' });
  }
}

/**
 * The texts of a batch, one a line: `JSON.stringify` writes no raw newline.
 *
 * @param {unknown} events
 * @param {number} count
 */
function batchText(events, count) {
  const texts = [];
  let pending = 0;
  for (let index = 0; index < count; index += 1) {
    const text = textAt(events, index);
    pending += text.length;
    if (pending > MAX_PENDING_BYTES) throw batchTooLarge();
    texts.push(text);
  }
  return texts.join('\n');
}

function batchTooLarge() {
  return new ChronicleError('EIO', 'batch is larger than the 256 MiB that may be pending', {
    cause: Object.assign(new Error('no buffer space available'), { code: 'ENOBUFS' }),
  });
}

/**
 * Refuses an idempotency key for a batch of more than one event.
 *
 * @param {string} path
 * @param {Options} options
 */
function checkKey(path, { idempotencyKey }) {
  if (idempotencyKey === undefined) return;
  throw invalid('option idempotencyKey is for one event, give each its own idempotencyKey field', {
    path,
    written: 'no',
  });
}

/** @param {unknown} given */
function timeoutOrOptions(given) {
  return typeof given === 'number' ? { lockTimeoutMs: given } : given;
}

module.exports = {
  append,
  appendAll,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  appendLines,
  appendOne,
  appendTexts,
  asNotWritten,
  flushSync,
};
