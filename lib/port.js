'use strict';

// A later turn of the event loop. Node.js delivers settlements in one turn for as long as more of them come
// meanwhile: on a busy machine that is a whole file, slice by slice.
const { setImmediate: nextTurn } = require('node:timers/promises');
const { publishBatch, wantsBatches } = require('./diagnostics.js');
const { fromFailure } = require('./errors.js');
const { Port } = require('./native.js');
const { warn } = require('./warnings.js');

/**
 * @typedef {import('../index.d.ts').AbortSignalLike} Signal
 * @typedef {{ outcome: string, text: string | null }} Settlement
 */

/** @type {Map<number, (settlement: Settlement) => void>} */
const waiting = new Map();

/**
 * The requests that each signal gives up, and the one listener for all of them: many appends may
 * share a signal, and Node.js warns of more than ten listeners.
 *
 * @type {WeakMap<Signal, { ids: Set<number>, cancel: () => void }>}
 */
const followed = new WeakMap();

/** @type {Port | undefined} */
let port;

let lastId = 0;

/** Whether the port tells of batches. */
let listening = false;

/** The one port of this realm, opened by the first request. */
function openPort() {
  port ??= new Port(deliver);
  if (listening !== wantsBatches()) {
    listening = !listening;
    port.listen(listening);
  }
  return port;
}

/** Called by the binding when settlements wait. */
function deliver() {
  const settled = openPort().drain();
  for (let i = 0; i < settled.length; i += 3) {
    if (settled[i] === 0) {
      publishBatch(JSON.parse(String(settled[i + 1])));
      continue;
    }
    const resolve = waiting.get(Number(settled[i]));
    const text = settled[i + 2];
    resolve?.({
      outcome: String(settled[i + 1]),
      text: typeof text === 'string' ? text : null,
    });
  }
}

/** An id that no request under way has; it fits a 32-bit integer. */
function nextId() {
  do lastId = (lastId % 0x7fffffff) + 1;
  while (waiting.has(lastId));
  return lastId;
}

/**
 * @param {Signal} signal
 * @param {number} id
 */
function follow(signal, id) {
  const known = followed.get(signal);
  if (known) {
    known.ids.add(id);
    return;
  }
  const ids = new Set([id]);
  const cancel = () => ids.forEach((each) => openPort().cancel(each));
  signal.addEventListener('abort', cancel);
  followed.set(signal, { ids, cancel });
}

/**
 * @param {Signal} signal
 * @param {number} id
 */
function unfollow(signal, id) {
  const known = followed.get(signal);
  if (!known?.ids.delete(id) || known.ids.size > 0) return;
  followed.delete(signal);
  signal.removeEventListener('abort', known.cancel);
}

/**
 * Starts a request and waits for its settlement. The listener on the signal lives as long as the
 * requests that share it. The signal is looked at last of all: the caller's own code, run until
 * now to serialise an event, may have aborted it.
 *
 * @param {(port: Port, id: number) => void} start
 * @param {Signal} [signal]
 * @returns {Promise<Settlement>}
 */
async function request(start, signal) {
  const opened = openPort();
  const id = nextId();
  try {
    if (signal) follow(signal, id);
    throwIfAborted(signal);
    return await new Promise((resolve) => {
      waiting.set(id, resolve);
      start(opened, id);
    });
  } finally {
    waiting.delete(id);
    if (signal) unfollow(signal, id);
  }
}

/** @param {Signal} [signal] */
function throwIfAborted(signal) {
  if (signal?.aborted) throw reasonOf(signal);
}

/**
 * A signal of an old browser or a hand-made one may have no reason.
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
 * What an outcome holds. To be called after the await, in the function whose caller is to be seen
 * in the error's stack.
 *
 * @param {string} outcome
 * @param {{ signal?: Signal, path?: string, first?: number, single?: boolean }} [of] `path`: of an
 *   error that names none; `first`: the place of the request's first event in the caller's batch;
 *   `single`: of one event, which has no place
 */
function unwrap(outcome, { signal, path, first = 0, single = false } = {}) {
  const { ok, error, cancelled, warnings } = JSON.parse(outcome);
  for (const { code, message } of warnings ?? []) warn(code, message);
  if (cancelled) throw reasonOf(signal);
  if (error) {
    const index = single || error.index === undefined ? undefined : first + error.index;
    throw fromFailure({ path, ...error, index });
  }
  return ok;
}

module.exports = { nextTurn, openPort, request, throwIfAborted, unwrap };
