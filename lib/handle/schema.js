'use strict';

const { causeOf, invalid, reading } = require('../binding/errors.js');
const { excerpt } = require('../binding/printable.js');

/**
 * @typedef {import('../../types/handle.d.ts').StandardSchemaV1} Schema
 * @typedef {import('../../types/handle.d.ts').StandardSchemaIssue} Issue
 */

/**
 * The output of a Standard Schema, or a promise of it if the schema is asynchronous.
 *
 * @param {Schema} schema
 * @param {unknown} value
 * @param {number} [index] of the value in a batch
 * @returns {any}
 */
function validated(schema, value, index) {
  const fail = (/** @type {unknown} */ thrown) => {
    const cause = causeOf(thrown);
    throw invalid(`the schema failed: ${excerpt(cause.message)}`, { cause, index });
  };
  let result;
  try {
    result = schema['~standard'].validate(value);
  } catch (thrown) {
    return fail(thrown);
  }
  const read = (/** @type {any} */ given) =>
    reading('the result of the schema', () => outputOf(given, index));
  if (!isPromise(result)) return read(result);
  // A promise of this realm: the schema's promise may be of another one.
  return Promise.resolve(result).then(read, fail);
}

/**
 * @param {any} result
 * @param {number} [index]
 */
function outputOf(result, index) {
  if (typeof result !== 'object' || result === null) {
    throw invalid('the schema gave no result', { index });
  }
  if (result.issues === undefined) return result.value;
  const [first, ...more] = result.issues;
  const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
  throw invalid(`event is not as the schema wants it: ${shown(first)}${others}`, { index });
}

/** @param {Issue | undefined} issue */
function shown(issue) {
  const path = (issue?.path ?? []).map((step) =>
    String(typeof step === 'object' && step !== null ? step.key : step),
  );
  const message = issue?.message ?? 'refused';
  return excerpt(path.length === 0 ? message : `${path.join('.')}: ${message}`);
}

/**
 * Whether a value is a promise, by shape: it may be of another realm.
 *
 * @param {any} value
 * @returns {value is Promise<any>}
 */
function isPromise(value) {
  return typeof value?.then === 'function';
}

module.exports = { isPromise, validated };
