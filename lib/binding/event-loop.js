'use strict';

const { AsyncResource } = require('node:async_hooks');
const { MessageChannel } = require('node:worker_threads');

/** @typedef {import('node:worker_threads').MessagePort} MessagePort */

// What lives as long as the realm would else belong to the call that happened to need it first: its
// `AsyncLocalStorage` store would be seen by all later ones, and could never be collected.
const realm = new AsyncResource('ChronicleRealm', { requireManualDestroy: true });

/**
 * Makes something that outlives the call, in the asynchronous context in which the package was loaded.
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
 * A later turn of the event loop. Node.js delivers settlements in one turn for as long as more of
 * them come meanwhile: on a busy machine that is a whole file, slice by slice. No timer is used:
 * those of a test runner may be fakes that never go off.
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
 * A port delivers in one turn also what is sent to it meanwhile. So a message goes to one port and
 * back to the other: only one of the two ways can end in the turn in which it began.
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
