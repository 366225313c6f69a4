'use strict';

const { ChronicleError } = require('../binding/errors.js');
const { Listing, repair } = require('../binding/native.js');
const { DEDUPLICATE, REPAIR, readOptions, toNative } = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { pathText } = require('../binding/path.js');
const { request, throwIfAborted, unwrap } = require('../binding/port.js');

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<import('../../index.d.ts').ChronicleRepairResult>}
 */
function repairChronicle(path, options) {
  return repairListed(path, options);
}

/**
 * {@link repairChronicle}. `removed` receives all lines that are moved out; the result has only the
 * first.
 *
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @param {Listing} [removed]
 * @returns {Promise<import('../../index.d.ts').ChronicleRepairResult>}
 */
async function repairListed(path, options, removed) {
  const { signal, repairCausalChain, ...rest } = readOptions(options, REPAIR);
  const name = pathText(path);
  if (repairCausalChain) {
    const message = 'repairCausalChain is not supported: ids are hashes of the links too';
    throw new ChronicleError('EUNSUPPORTED', message, { path: name, written: 'no' });
  }
  throwIfAborted(signal);
  const nativeOptions = toNative(rest);
  const { outcome } = await request(
    (port, id) => repair(port, id, name, nativeOptions, removed),
    signal,
  );
  return unwrap(outcome, { signal, path: name });
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<number>}
 */
async function deduplicateConsecutiveEvents(path, options) {
  const { signal, ...rest } = readOptions(options, DEDUPLICATE);
  const name = pathText(path);
  throwIfAborted(signal);
  const nativeOptions = toNative({ ...rest, onlyConsecutive: true });
  const { outcome } = await request((port, id) => repair(port, id, name, nativeOptions), signal);
  const { plan } = unwrap(outcome, { signal, path: name });
  const { removed, removedOmitted = 0 } = ownCopy(plan);
  return removed.length + removedOmitted;
}

module.exports = { deduplicateConsecutiveEvents, repairChronicle, repairListed };
