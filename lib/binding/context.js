'use strict';

const { AsyncResource } = require('node:async_hooks');

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
function outsideOfCalls(make) {
  return realm.runInAsyncScope(make);
}

module.exports = { outsideOfCalls };
