'use strict';

const { ownCopy } = require('./own-properties.js');

/**
 * @typedef {import('../../index.d.ts').ErrorCode} ErrorCode
 * @typedef {import('../../index.d.ts').ChronicleErrorDetails} Details
 */

const ErrorCodes = Object.freeze({
  EVALIDATION: 'EVALIDATION',
  ELOCK_TIMEOUT: 'ELOCK_TIMEOUT',
  EIO: 'EIO',
  ECONFLICT: 'ECONFLICT',
  ECORRUPT: 'ECORRUPT',
  ECLOSED: 'ECLOSED',
  EUNSUPPORTED: 'EUNSUPPORTED',
  EPERMISSION: 'EPERMISSION',
  ETIMEOUT: 'ETIMEOUT',
  EHALT: 'EHALT',
});

class ChronicleError extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {Details | null} [given]
   */
  constructor(code, message, given) {
    const details = ownCopy(given ?? {});
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    // Absent details are no properties, so a printed error does not show them.
    if (details.path !== undefined) this.path = details.path;
    if (details.written !== undefined) this.written = details.written;
    if (details.waitedMs !== undefined) this.waitedMs = details.waitedMs;
    if (details.holderPid !== undefined) this.holderPid = details.holderPid;
    if (details.index !== undefined) this.index = details.index;
    if (details.line !== undefined) this.line = details.line;
    if (details.offset !== undefined) this.offset = details.offset;
    if (details.actualTail !== undefined) this.actualTail = details.actualTail;
    if (details.seq !== undefined) this.seq = details.seq;
  }
}

// On the prototype and not enumerable, like the names of built-in errors.
Object.defineProperty(ChronicleError.prototype, 'name', {
  value: 'ChronicleError',
  configurable: true,
  writable: true,
});

/**
 * @template {keyof typeof ErrorCodes} [C=ErrorCode]
 * @param {unknown} error
 * @param {C} [code]
 * @returns {error is import('../../index.d.ts').ChronicleError & { readonly code: C }}
 */
function isChronicleError(error, code) {
  if (typeof error !== 'object' || error === null) return false;
  const shape = /** @type {{ name?: unknown, code?: unknown, message?: unknown }} */ (error);
  return (
    shape.name === 'ChronicleError' &&
    typeof shape.message === 'string' &&
    typeof shape.code === 'string' &&
    Object.hasOwn(ErrorCodes, shape.code) &&
    (code === undefined || shape.code === code)
  );
}

/**
 * @param {string} message
 * @param {Details} [details]
 */
function invalid(message, details) {
  return new ChronicleError('EVALIDATION', message, details);
}

/**
 * A value thrown by the caller's code, as a cause: always an object with a readable message.
 *
 * @param {unknown} thrown
 * @returns {import('../../index.d.ts').ChronicleErrorCause}
 */
function causeOf(thrown) {
  try {
    if (typeof thrown !== 'object' || thrown === null) return new Error(String(thrown));
    const cause = /** @type {import('../../index.d.ts').ChronicleErrorCause} */ (thrown);
    // Proxies, getters and conversions to text may throw.
    void `${cause.message}`;
    return cause;
  } catch {
    return new Error('what was thrown cannot be shown');
  }
}

/**
 * Reads a value of the caller. Its getters and proxies may throw.
 *
 * @template T
 * @param {string} name
 * @param {() => T} read
 * @returns {T}
 */
function reading(name, read) {
  try {
    return read();
  } catch (thrown) {
    if (isChronicleError(thrown)) throw thrown;
    throw invalid(`${name} could not be read`, { cause: causeOf(thrown) });
  }
}

/**
 * Makes an error of this realm from a failure that the binding reported.
 *
 * @param {Omit<Details, 'cause'> & {
 *   code: ErrorCode,
 *   message: string,
 *   cause?: { code?: string, errno?: number, syscall?: string, message: string },
 * }} failure
 */
function fromFailure(failure) {
  const { code, message, cause, ...details } = ownCopy(failure);
  if (cause === undefined) return new ChronicleError(code, message, details);
  const { message: text, ...fields } = cause;
  return new ChronicleError(code, message, {
    ...details,
    cause: Object.assign(new Error(text), fields),
  });
}

module.exports = {
  // ECMAScript types `cause` as unknown; the declaration of this class is narrower.
  ChronicleError: /** @type {typeof import('../../index.d.ts').ChronicleError} */ (ChronicleError),
  ErrorCodes,
  causeOf,
  fromFailure,
  invalid,
  isChronicleError,
  reading,
};
