'use strict';

const { MessageChannel } = require('node:worker_threads');
const { outsideOfCalls } = require('./context.js');

/** @typedef {import('node:worker_threads').MessagePort} MessagePort */

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
function nextTurn() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) ring();
  });
}

function ring() {
  ports ??= outsideOfCalls(open);
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

module.exports = { nextTurn };
