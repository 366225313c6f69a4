'use strict';

const { Port } = require('../binding.js');
const { fromFailure } = require('./errors.js');
const { warn } = require('./warnings.js');

/**
 * @typedef {import('../index.d.ts').AbortSignalLike} Signal
 * @typedef {{ outcome: string, text: string | null }} Settlement
 */

/** @type {Map<number, (settlement: Settlement) => void>} */
const waiting = new Map();

/** @type {Port | undefined} */
let port;

let lastId = 0;

/** The one port of this realm, opened by the first request. */
function openPort() {
  port ??= new Port(deliver);
  return port;
}

/** Called by the binding when settlements wait. */
function deliver() {
  const settled = openPort().drain();
  for (let i = 0; i < settled.length; i += 3) {
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
 * Starts a request and waits for its settlement. The listener on the signal lives as long as the
 * request.
 *
 * @param {(port: Port, id: number) => void} start
 * @param {Signal} [signal]
 * @returns {Promise<Settlement>}
 */
async function request(start, signal) {
  const opened = openPort();
  const id = nextId();
  const cancel = () => opened.cancel(id);
  signal?.addEventListener('abort', cancel);
  try {
    return await new Promise((resolve) => {
      waiting.set(id, resolve);
      start(opened, id);
    });
  } finally {
    waiting.delete(id);
    signal?.removeEventListener('abort', cancel);
  }
}

/** @param {Signal} [signal] */
function throwIfAborted(signal) {
  if (signal?.aborted) throw signal.reason;
}

/**
 * What an outcome holds. To be called after the await, in the function whose caller is to be seen
 * in the error's stack.
 *
 * @param {string} outcome
 * @param {{ signal?: Signal, first?: number, single?: boolean }} [of] `first`: the place of the
 *   request's first event in the caller's batch; `single`: of one event, which has no place
 */
function unwrap(outcome, { signal, first = 0, single = false } = {}) {
  const { ok, error, cancelled, warnings } = JSON.parse(outcome);
  for (const { code, message } of warnings ?? []) warn(code, message);
  if (cancelled) throw signal?.reason;
  if (error) {
    const index = single || error.index === undefined ? undefined : first + error.index;
    throw fromFailure({ ...error, index });
  }
  return ok;
}

module.exports = { openPort, request, throwIfAborted, unwrap };
