'use strict';

/**
 * The named exports of a module.
 *
 * @template {object} M
 * @template {keyof M} N
 * @param {M} module
 * @param {N[]} names
 * @returns {Pick<M, N>}
 */
function pick(module, ...names) {
  const entries = names.map((name) => [name, module[name]]);
  return /** @type {Pick<M, N>} */ (Object.fromEntries(entries));
}

/**
 * The public names. A module that exports nothing else is taken whole. `npm run exports` writes
 * `index.mjs` from this object.
 *
 * @type {typeof import('../index.d.ts')}
 */
const chronicle = {
  ...pick(require('./binding/errors.js'), 'ChronicleError', 'ErrorCodes', 'isChronicleError'),
  ...pick(require('./binding/path.js'), 'validateChroniclePath'),
  ...pick(
    require('./event/compare.js'),
    'computeChronicleHash',
    'eventsAreIdentical',
    'findDuplicateEvents',
  ),
  ...require('./event/events.js'),
  ...require('./event/identity.js'),
  ...pick(require('./event/text.js'), 'serializeEvent'),
  ...pick(
    require('./append/append.js'),
    'append',
    'appendEvent',
    'appendEventSync',
    'appendEventWithId',
    'appendEvents',
    'appendLines',
    'flushSync',
  ),
  ...pick(require('./append/lock.js'), 'lockChronicles'),
  ...require('./read/follow.js'),
  ...pick(
    require('./read/read.js'),
    'countEvents',
    'queryChronicle',
    'readChronicle',
    'tailChronicle',
  ),
  ...pick(require('./read/stream.js'), 'streamChronicle'),
  ...pick(require('./check/analyze.js'), 'analyzeChronicle', 'formatAnalysisReport'),
  ...pick(
    require('./check/chain.js'),
    'appendWithCausalChain',
    'buildCausalChain',
    'getChainTail',
    'getCompleteChain',
    'validateCausalChain',
  ),
  ...pick(require('./check/repair.js'), 'deduplicateConsecutiveEvents', 'repairChronicle'),
  ...require('./check/stats.js'),
  ...pick(require('./check/verify.js'), 'verifyChronicle'),
  ...pick(require('./handle/adapter.js'), 'createAdapter'),
  ...require('./handle/handle.js'),
  ...require('./compat.js'),
};

module.exports = chronicle;
