'use strict';

const { channel } = require('node:diagnostics_channel');

/**
 * @typedef {import('../../types/stats.d.ts').BatchMessage} BatchMessage
 * @typedef {import('../../index.d.ts').BadLine} BadLine
 * @typedef {import('../../index.d.ts').Receipt} Receipt
 */

// Node.js forgets a channel that no variable references.
const appends = channel('sage:chronicle:append');
const batches = channel('sage:chronicle:batch');
const locks = channel('sage:chronicle:lock');
const badLines = channel('sage:chronicle:badline');

/** Whether the binding must report batches. */
function hasBatchSubscribers() {
  return batches.hasSubscribers || locks.hasSubscribers;
}

/**
 * Runs an append and publishes its outcome to the subscribers.
 *
 * @template {Receipt | Receipt[]} R
 * @param {unknown} path
 * @param {() => Promise<R>} run
 * @returns {Promise<R>}
 */
async function publishing(path, run) {
  const begun = performance.now();
  try {
    const result = await run();
    publishAppend(path, begun, { receipts: Array.isArray(result) ? result : [result] });
    return result;
  } catch (error) {
    publishAppend(path, begun, { error });
    throw error;
  }
}

/**
 * {@link publishing} for a synchronous append.
 *
 * @param {unknown} path
 * @param {() => Receipt} run
 */
function publishingSync(path, run) {
  const begun = performance.now();
  try {
    const receipt = run();
    publishAppend(path, begun, { receipts: [receipt] });
    return receipt;
  } catch (error) {
    publishAppend(path, begun, { error });
    throw error;
  }
}

/**
 * @param {unknown} path
 * @param {number} begun
 * @param {{ receipts: Receipt[] } | { error: any }} end
 */
function publishAppend(path, begun, end) {
  if (appends.hasSubscribers) {
    appends.publish({ path, ...end, durationMs: performance.now() - begun });
  }
  if ('error' in end && Object.hasOwn(end, 'error')) publishTimeout(end.error);
}

/**
 * Publishes a lock timeout.
 *
 * @param {any} error
 */
function publishTimeout(error) {
  if (!locks.hasSubscribers || error?.code !== 'ELOCK_TIMEOUT') return;
  const { path, waitedMs, holderPid } = error;
  locks.publish({ path, waitedMs, acquired: false, ...(holderPid && { holderPid }) });
}

/**
 * Publishes a batch that the binding reported.
 *
 * @param {BatchMessage} facts
 */
function publishBatch(facts) {
  if (locks.hasSubscribers) {
    locks.publish({ path: facts.path, waitedMs: facts.lockWaitMs, acquired: true });
  }
  if (batches.hasSubscribers) batches.publish(facts);
}

/**
 * @param {readonly string[]} paths of files that were locked together
 * @param {number} waitedMs
 */
function publishLocked(paths, waitedMs) {
  if (!locks.hasSubscribers) return;
  for (const path of paths) locks.publish({ path, waitedMs, acquired: true });
}

/**
 * @param {string} path
 * @param {BadLine} line
 */
function publishBadLine(path, line) {
  if (badLines.hasSubscribers) badLines.publish({ path, ...line });
}

/** Whether a channel of appends has subscribers. */
function hasSubscribers() {
  return appends.hasSubscribers || locks.hasSubscribers;
}

module.exports = {
  hasBatchSubscribers,
  hasSubscribers,
  publishBadLine,
  publishBatch,
  publishLocked,
  publishTimeout,
  publishing,
  publishingSync,
};
