'use strict';

const { AsyncResource } = require('node:async_hooks');
const { MessageChannel } = require('node:worker_threads');

/** @typedef {import('node:worker_threads').MessagePort} MessagePort */

// The asynchronous context in which the package was loaded. An object that outlives its call must
// not capture the context of that call: the call's `AsyncLocalStorage` store would be visible to
// all later calls and would never be collected.
const realm = new AsyncResource('ChronicleRealm', { requireManualDestroy: true });

/**
 * Makes an object that outlives the call, in the context in which the package was loaded.
 *
 * @template T
 * @param {() => T} make
 * @returns {T}
 */
function inRealmContext(make) {
  return realm.runInAsyncScope(make);
}

/** @type {(() => void)[]} */
let waiting = [];

/** @type {[relay: MessagePort, bell: MessagePort] | undefined} */
let ports;

/**
 * Resolves in a later turn of the event loop. Node.js delivers settlements in one turn as long as
 * more arrive: on a busy machine, all pages of a file. A timer cannot end the turn: a test runner
 * may have replaced timers by fakes that never fire.
 *
 * @returns {Promise<void>}
 */
function yieldToEventLoop() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) ring();
  });
}

function ring() {
  ports ??= inRealmContext(open);
  const [relay, bell] = ports;
  relay.ref();
  bell.postMessage(null);
}

/**
 * A port also delivers messages that arrive during its turn. A message therefore makes a round
 * trip: at most one of its two ways ends in the turn in which it began.
 *
 * @returns {[relay: MessagePort, bell: MessagePort]}
 */
function open() {
  const { port1: relay, port2: bell } = new MessageChannel();
  relay.on('message', () => {
    bell.ref();
    relay.unref();
    relay.postMessage(null);
  });
  bell.on('message', () => {
    bell.unref();
    const woken = waiting;
    waiting = [];
    for (const resolve of woken) resolve();
  });
  // An idle port must not keep the process alive.
  relay.unref();
  bell.unref();
  return [relay, bell];
}

module.exports = { inRealmContext, yieldToEventLoop };
