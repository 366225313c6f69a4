'use strict';

const { causeOf, invalid } = require('./errors.js');
const { jsonOf, propertyOf } = require('./own-properties.js');
const { excerpt } = require('./printable.js');

/**
 * A kind of option: its rule in words, and the test of a value.
 *
 * @typedef {{ must: string, test: (value: any) => boolean }} Kind
 * @typedef {import('../../index.d.ts').AbortSignalLike} Signal
 */

const flag = { must: 'a boolean', test: (/** @type {unknown} */ v) => typeof v === 'boolean' };

const milliseconds = {
  must: 'a finite number of milliseconds, 0 or more',
  test: (/** @type {unknown} */ v) => typeof v === 'number' && Number.isFinite(v) && v >= 0,
};

const name = {
  must: 'a non-empty string',
  test: (/** @type {unknown} */ v) => typeof v === 'string' && v !== '',
};

const nameOrNull = {
  must: 'a non-empty string or null',
  test: (/** @type {unknown} */ v) => v === null || name.test(v),
};

// By shape: the signal may come from another realm, such as that of jsdom.
const signal = {
  must: 'an AbortSignal',
  test: (/** @type {any} */ v) =>
    typeof v === 'object' &&
    v !== null &&
    typeof v.aborted === 'boolean' &&
    typeof v.addEventListener === 'function' &&
    typeof v.removeEventListener === 'function',
};

/**
 * The option that makes a function of the package work in memory. Only the package's own code has
 * the key.
 */
const MEMORY = Symbol('memory');

/**
 * The option that makes a reader return the text of each record instead of the event. Only the
 * package's own code has the key.
 */
const TEXTS = Symbol('texts');

/**
 * The option whose function gets the receipt of an append and the warning that its id was reused,
 * which the function may emit. Only the package's own code has the key.
 */
const ON_ID_REUSED = Symbol('onIdReused');

/** @param {string[]} words */
function oneOf(...words) {
  return {
    must: words.map((word) => `'${word}'`).join(' or '),
    test: (/** @type {any} */ v) => words.includes(v),
  };
}

const badLinePolicy = {
  must: "'skip', 'throw' or a function",
  test: (/** @type {unknown} */ v) => v === 'skip' || v === 'throw' || typeof v === 'function',
};

// `Date` itself is a clock, so a function is accepted.
const clock = {
  must: 'an object with a function now',
  test: (/** @type {any} */ v) => typeof v?.now === 'function',
};

const size = {
  must: 'a number, 0 or more',
  test: (/** @type {unknown} */ v) => typeof v === 'number' && v >= 0,
};

const validation = {
  must: "'contract', 'none' or a Standard Schema of version 1",
  test: (/** @type {any} */ v) =>
    v === 'contract' ||
    v === 'none' ||
    (v?.['~standard']?.version === 1 && typeof v['~standard'].validate === 'function'),
};

/** @type {Record<string, Kind>} */
const PATH = { anyExtension: flag };

/** @type {Record<string, Kind>} */
const APPEND_SYNC = {
  ...PATH,
  lockTimeoutMs: milliseconds,
  computeId: flag,
  idempotencyKey: name,
  chain: flag,
  expectedTail: nameOrNull,
  onIdReuse: oneOf('accept', 'reject'),
  durability: oneOf('sync', 'os'),
};

/** @type {Record<string, Kind>} */
const APPEND = { ...APPEND_SYNC, signal };

const APPEND_LINES = withoutThose(APPEND, 'computeId', 'idempotencyKey', 'chain');

/** @type {Record<string, Kind>} */
const READ = { ...PATH, onBadLine: badLinePolicy, positions: flag, signal };

const count = {
  must: 'an integer, 0 or more',
  test: (/** @type {unknown} */ v) => Number.isSafeInteger(v) && Number(v) >= 0,
};

const amount = {
  must: 'an integer, 1 or more',
  test: (/** @type {unknown} */ v) => Number.isSafeInteger(v) && Number(v) >= 1,
};

// These options are checked where they are read.
const any = { must: 'anything', test: () => true };

/** @type {Record<string, Kind>} */
const QUERY = { ...READ, reverse: flag, limit: count, skip: count };

/** @type {Record<string, Kind>} */
const COUNT = { ...PATH, onBadLine: badLinePolicy, signal };

/** @type {Record<string, Kind>} */
const STREAM = { ...READ, from: any, to: any, where: any, reverse: flag, limit: count };

const callback = {
  must: 'a function',
  test: (/** @type {unknown} */ v) => typeof v === 'function',
};

/** @type {Record<string, Kind>} */
const FOLLOW = {
  ...READ,
  from: any,
  where: any,
  onRewrite: oneOf('continue', 'restart'),
  onFile: callback,
  onCaughtUp: callback,
};

/** @type {Record<string, Kind>} */
const BATCHES = {
  ...PATH,
  from: any,
  where: any,
  maxBytes: amount,
  maxEvents: amount,
  synced: flag,
  onBadLine: badLinePolicy,
  onFile: callback,
  onCaughtUp: callback,
  signal,
};

/** @type {Record<string, Kind>} */
const CHAIN = { ...PATH, onBadLine: badLinePolicy, signal };

/** @type {Record<string, Kind>} */
const CHAIN_APPEND = {
  ...PATH,
  forcePrevEventId: name,
  lockTimeoutMs: milliseconds,
  idempotencyKey: name,
  durability: oneOf('sync', 'os'),
  signal,
};

/** @type {Record<string, Kind>} */
const VERIFY = {
  ...PATH,
  onProgress: {
    must: 'a function',
    test: (/** @type {unknown} */ v) => typeof v === 'function',
  },
  signal,
};

/** @type {Record<string, Kind>} */
const OPEN = { ...PATH, clock, validate: validation };

/** @type {Record<string, Kind>} */
const ADAPTER = { ...PATH, clock, baseDir: name };

/** @type {Record<string, Kind>} */
const WINDOW = { windowSize: size, useIndex: flag };

/** @type {Record<string, Kind>} */
const LOCK = {
  ...PATH,
  lockTimeoutMs: milliseconds,
  mode: oneOf('exclusive', 'shared'),
  signal,
};

/** @type {Record<string, Kind>} */
const ANALYZE = { ...PATH, signal };

/** @type {Record<string, Kind>} */
const DEDUPLICATE = { ...PATH, lockTimeoutMs: milliseconds, signal };

/** @type {Record<string, Kind>} */
const REPAIR = {
  ...DEDUPLICATE,
  dryRun: flag,
  removeDuplicates: flag,
  fixTimestampOrder: flag,
  repairCausalChain: flag,
  createBackup: flag,
};

/** @type {Record<string, Kind>} */
const FLUSH = { timeoutMs: milliseconds };

// 49 days, the largest value that fits 32 bits.
const MAX_TIMEOUT_MS = 2 ** 32 - 1;

/**
 * Reads the known options of a function from the caller's object. An option is absent if it is
 * undefined or inherited from `Object.prototype`.
 *
 * @param {unknown} given
 * @param {Record<string, Kind>} known
 * @returns {Record<string | symbol, any>}
 */
function readOptions(given, known) {
  /** @type {Record<string | symbol, any>} */
  const options = Object.create(null);
  if (given === undefined) return options;
  if (typeof given !== 'object' || given === null) throw invalid('options must be an object');
  /** @type {string | undefined} */
  let wrong;
  try {
    if (Array.isArray(given)) wrong = 'options must be an object';
    const unknown = Object.keys(given).find((key) => !Object.hasOwn(known, key));
    if (unknown !== undefined) {
      wrong ??= `unknown option ${excerpt(unknown)}, known are ${Object.keys(known).join(', ')}`;
    }
    const memory = /** @type {Record<symbol, unknown>} */ (given)[MEMORY];
    if (memory !== undefined) options[MEMORY] = memory;
    const texts = /** @type {Record<symbol, unknown>} */ (given)[TEXTS];
    if (texts !== undefined) options[TEXTS] = texts;
    const prototype = Object.getPrototypeOf(given);
    const isPlain = prototype === Object.prototype || prototype === null;
    // A plain object has few options; asking for each known one costs time in every append.
    const names = isPlain ? Object.getOwnPropertyNames(given) : Object.keys(known);
    for (const key of names) {
      if (!Object.hasOwn(known, key)) continue;
      const kind = known[key];
      const value = isPlain
        ? /** @type {Record<string, unknown>} */ (given)[key]
        : propertyOf(given, key);
      if (value === undefined) continue;
      if (!kind.test(value)) wrong ??= `option ${key} must be ${kind.must}`;
      options[key] =
        kind === milliseconds ? Math.min(Math.ceil(Number(value)), MAX_TIMEOUT_MS) : value;
    }
  } catch (thrown) {
    throw invalid('options could not be read', { cause: causeOf(thrown) });
  }
  if (wrong !== undefined) throw invalid(wrong);
  return options;
}

/**
 * @param {Record<string, Kind>} kinds
 * @param {string[]} names
 */
function withoutThose(kinds, ...names) {
  return Object.fromEntries(Object.entries(kinds).filter(([key]) => !names.includes(key)));
}

/**
 * The options of a handle, which knows the path already.
 *
 * @param {Record<string, Kind>} kinds
 */
function withoutPath({ anyExtension: _, ...kinds }) {
  return kinds;
}

/**
 * Options as JSON text for the binding; null means all defaults.
 *
 * @param {Record<string, unknown>} options
 */
function toNative(options) {
  let text = '';
  for (const key in options) {
    // A program may have put enumerable properties on a prototype.
    if (!Object.hasOwn(options, key)) continue;
    const value = options[key];
    if (value === undefined || typeof value === 'function') continue;
    const json = Number.isFinite(value) ? String(value) : jsonOf(value);
    text += `${text === '' ? '' : ','}"${key}":${json}`;
  }
  return text === '' ? null : `{${text}}`;
}

module.exports = {
  ADAPTER,
  ANALYZE,
  APPEND,
  APPEND_LINES,
  APPEND_SYNC,
  BATCHES,
  CHAIN,
  CHAIN_APPEND,
  COUNT,
  DEDUPLICATE,
  FLUSH,
  FOLLOW,
  LOCK,
  MEMORY,
  ON_ID_REUSED,
  OPEN,
  PATH,
  QUERY,
  READ,
  REPAIR,
  STREAM,
  TEXTS,
  VERIFY,
  WINDOW,
  readOptions,
  toNative,
  withoutPath,
};
