'use strict';

// What only the callers of the TypeScript package that came before need.

const { descriptorsOf, lockChronicles } = require('./lock.js');

/**
 * @param {string} path
 * @param {number} [timeoutMs]
 */
async function acquireLock(path, timeoutMs) {
  const lock = await lockChronicles([path], { lockTimeoutMs: timeoutMs });
  const [fd = -1] = descriptorsOf(lock);
  return { fd, path, release: lock.release };
}

/** @param {string} _path */
async function cleanStaleLocks(_path) {
  // The kernel ends a lock with its holder: none is stale.
}

module.exports = { acquireLock, cleanStaleLocks };
