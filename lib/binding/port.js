'use strict';

const { atCallSite } = require('./call-site.js');
const { hasBatchSubscribers, publishBatch } = require('./diagnostics.js');
const { fromFailure, reading } = require('./errors.js');
const { inRealmContext } = require('./event-loop.js');
const { Port } = require('./native.js');
const { ownCopy } = require('./own-properties.js');
const { excerpt, printable } = require('./printable.js');
const { warn, warnOnce } = require('./warnings.js');
const { absolute } = require('./working-folder.js');

/**
 * @typedef {import('../../index.d.ts').AbortSignalLike} Signal
 * @typedef {{ outcome: string | object, text: string | null }} Settlement
 */

const ID_REUSED = 'CHRONICLE_ID_REUSED';

/** @type {Map<number, (settlement: Settlement) => void>} */
const waiting = new Map();

/**
 * The requests that each signal aborts, and the one listener for all of them. Many appends may
 * share a signal, and Node.js warns of more than ten listeners.
 *
 * @type {WeakMap<Signal, { ids: Set<number>, cancel: () => void }>}
 */
const listeners = new WeakMap();

/** @type {Port | undefined} */
let port;

let lastId = 0;

/** Whether the port reports batches. */
let reportsBatches = false;

/** The one port of this realm, opened by the first request. */
function openPort() {
  port ??= inRealmContext(() => new Port(deliver));
  if (reportsBatches !== hasBatchSubscribers()) {
    reportsBatches = !reportsBatches;
    port.listen(reportsBatches);
  }
  return port;
}

/**
 * Called by the binding when settlements wait. Order: batch events, then the appends, then requests
 * that waited for appends (a lock release). The binding keeps no copy of a drained settlement, so
 * each one must settle even if a callback throws.
 */
function deliver() {
  const opened = openPort();
  const settled = opened.drain();
  const [appends] = settled;
  for (let i = 1; settled[i] === 0; i += 3) attempt(publishFacts, String(settled[i + 1]));
  const ended = appends === null ? [] : settlementsOf(opened, String(appends));
  for (let i = 0; i < ended.length; i += 2) settle(ended[i], { outcome: ended[i + 1], text: null });
  for (let i = 1; i < settled.length; i += 3) {
    const text = settled[i + 2];
    const outcome = String(settled[i + 1]);
    settle(Number(settled[i]), { outcome, text: typeof text === 'string' ? text : null });
  }
}

/** @param {string} text */
function publishFacts(text) {
  publishBatch(JSON.parse(text));
}

/**
 * Ids and outcomes of appends, alternating. If the text cannot be parsed, every append fails.
 *
 * @param {Port} opened
 * @param {string} text
 * @returns {any[]}
 */
function settlementsOf(opened, text) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `the outcome cannot be read: ${cause instanceof Error ? cause.message : ''}`;
    const outcome = { error: { code: 'EIO', message, written: 'unknown' } };
    return opened.handed().flatMap((id) => [id, outcome]);
  }
}

/**
 * Calls a function that may be the caller's. Nothing waits for its result, so its error becomes a
 * process warning.
 *
 * @template T
 * @param {(value: T) => void} call
 * @param {T} value
 */
function attempt(call, value) {
  try {
    call(value);
  } catch (error) {
    warn('CHRONICLE_CALLBACK_FAILED', `a function of the caller threw: ${textOf(error)}`);
  }
}

/** @param {unknown} error */
function textOf(error) {
  try {
    return excerpt(error);
  } catch {
    return 'a value that has no text';
  }
}

/**
 * @param {number} id
 * @param {Settlement} settlement
 */
function settle(id, settlement) {
  const resolve = waiting.get(id);
  // No request waits for the event of a batch.
  if (resolve === undefined) return;
  waiting.delete(id);
  attempt(resolve, settlement);
}

/** An id that no pending request has, as a 32-bit integer. */
function nextId() {
  do lastId = (lastId % 0x7fffffff) + 1;
  while (waiting.has(lastId));
  return lastId;
}

/**
 * @param {Signal} signal
 * @param {number} id
 */
function listen(signal, id) {
  const known = listeners.get(signal);
  if (known) {
    known.ids.add(id);
    return;
  }
  const ids = new Set([id]);
  const cancel = () => ids.forEach((each) => openPort().cancel(each));
  signal.addEventListener('abort', cancel);
  listeners.set(signal, { ids, cancel });
}

/**
 * @param {Signal} signal
 * @param {number} id
 */
function stopListening(signal, id) {
  const known = listeners.get(signal);
  if (!known?.ids.delete(id) || known.ids.size > 0) return;
  listeners.delete(signal);
  signal.removeEventListener('abort', known.cancel);
}

/**
 * Starts a request and waits for its settlement. The listener on the signal lives as long as the
 * requests that share it. The signal is checked last: the caller's code, which ran to serialise an
 * event, may have aborted it.
 *
 * @param {(port: Port, id: number) => void} start
 * @param {Signal} [signal]
 * @returns {Promise<Settlement>}
 */
function request(start, signal) {
  return new Promise((resolve) => {
    const opened = openPort();
    const id = nextId();
    if (signal) {
      reading('signal', () => listen(signal, id));
      waiting.set(id, (settlement) => {
        resolve(settlement);
        stopListening(signal, id);
      });
    } else {
      waiting.set(id, resolve);
    }
    try {
      throwIfAborted(signal);
      start(opened, id);
    } catch (error) {
      waiting.delete(id);
      if (signal) stopListening(signal, id);
      throw error;
    }
  });
}

/** @param {Signal} [signal] */
function throwIfAborted(signal) {
  if (signal?.aborted) throw reasonOf(signal);
}

/**
 * The reason of a signal; a signal of an old browser may have none.
 *
 * @param {Signal} [signal]
 */
function reasonOf(signal) {
  const { reason } = signal ?? {};
  return reason === undefined
    ? new DOMException('This operation was aborted', 'AbortError')
    : reason;
}

/**
 * The result of an outcome, or its error, which is thrown. Call it after the `await`, in the
 * function whose caller the error's stack shall show.
 *
 * @param {string | object} outcome as JSON text, or parsed
 * @param {{ signal?: Signal, path?: string, first?: number, single?: boolean,
 *   site?: object, withheld?: (() => void)[] }} [of]
 *   - `path`: for an error without a path.
 *   - `first`: the index of the request's first event in the caller's batch.
 *   - `single`: the request had one event, so an error has no index.
 *   - `withheld`: gets the warnings of reused ids, which are not emitted.
 *   - `site`: the place of the caller's call, for the stack of an error.
 */
function unwrap(outcome, of = {}) {
  const parsed = typeof outcome === 'string' ? JSON.parse(outcome) : outcome;
  // The common outcome. Copying it would take longer than the rest of this function.
  if (Object.hasOwn(parsed, 'ok') && !Object.hasOwn(parsed, 'warnings')) return parsed.ok;
  const { signal, path, first = 0, single = false, site, withheld } = ownCopy(of);
  const { ok, error, cancelled, warnings } = ownCopy(parsed);
  for (const warning of warnings ?? []) {
    const emit = () => emitWarning(warning, path);
    if (withheld !== undefined && warning.code === ID_REUSED) withheld.push(emit);
    else emit();
  }
  if (cancelled) throw reasonOf(signal);
  if (error) {
    const failure = ownCopy(error);
    const index = single || failure.index === undefined ? undefined : first + failure.index;
    throw atCallSite(fromFailure({ path, ...failure, index }), site);
  }
  return ok;
}

/**
 * Emits a warning of an outcome. The warning of a reused id is emitted once for each log.
 *
 * @param {{ code: string, message: string }} warning
 * @param {string} [path]
 */
function emitWarning({ code, message }, path) {
  if (code !== ID_REUSED || path === undefined) return warn(code, message);
  const file = nameOf(path);
  warnOnce(code, file, `${message} (in ${printable(file)})`);
}

/** @param {string} path */
function nameOf(path) {
  try {
    return absolute(path);
  } catch {
    return path;
  }
}

module.exports = { attempt, openPort, request, throwIfAborted, unwrap };
