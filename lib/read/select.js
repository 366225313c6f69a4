'use strict';

const { invalid, reading } = require('../binding/errors.js');
const { excerpt } = require('../binding/printable.js');

/**
 * @typedef {import('../../index.d.ts').Where} Where
 * @typedef {import('../../index.d.ts').Place} Place
 */

/** @param {unknown} value */
const isText = (value) => typeof value === 'string';

/** @param {unknown} value */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A list of strings, or one string.
 *
 * @param {unknown} value
 * @param {string} name
 * @returns {string[]}
 */
function texts(value, name) {
  const list = isText(value) ? [value] : value;
  if (!Array.isArray(list) || !list.every(isText)) {
    throw invalid(`${name} must be a string or an array of strings`);
  }
  return list.map(String);
}

/**
 * A string.
 *
 * @param {unknown} value
 * @param {string} name
 */
function text(value, name) {
  if (!isText(value)) throw invalid(`${name} must be a string`);
  return value;
}

/**
 * A point in time for the binding, which checks the format of a string.
 *
 * @param {unknown} value
 * @param {string} name
 * @returns {string | number}
 */
function time(value, name) {
  if (typeof value === 'string') return value;
  const milliseconds = typeof value === 'number' ? value : dateValue(value);
  if (Number.isInteger(milliseconds)) return Number(milliseconds);
  const got = typeof value === 'number' ? value : otherThanTime(milliseconds, value);
  throw invalid(`${name} must be an ISO 8601 string, a Date or milliseconds; got ${got}`);
}

/**
 * What is neither a text nor a number nor a valid Date, in words.
 *
 * @param {number | undefined} milliseconds NaN for a Date without a time
 * @param {unknown} value
 */
function otherThanTime(milliseconds, value) {
  if (milliseconds !== undefined) return 'an invalid Date';
  return value === null ? 'null' : typeof value;
}

/**
 * The milliseconds of a Date of any realm.
 *
 * @param {any} value
 */
function dateValue(value) {
  try {
    return Date.prototype.getTime.call(value);
  } catch {
    return undefined;
  }
}

/**
 * An integer that is not less than `least`.
 *
 * @param {unknown} value
 * @param {string} name
 * @param {number} least
 */
function whole(value, name, least) {
  if (!Number.isSafeInteger(value) || Number(value) < least) {
    throw invalid(`${name} must be an integer, ${least} or more`);
  }
  return Number(value);
}

/** @type {Record<string, (value: any, name: string) => unknown>} */
const PLACES = {
  seq: (value, name) => whole(value, name, 1),
  offset: (value, name) => whole(value, name, 0),
  eventId: text,
  time,
  cursor: text,
};

/** @type {Record<string, (value: any, name: string) => unknown>} */
const WHERE = {
  type: (value, name) => {
    const types = texts(value, name);
    if (types.length === 0) throw invalid(`${name} must name a type`);
    return types;
  },
  actor: (value, name) => fields(value, name, { agent: text, id: text }),
  tags: texts,
  planHash: text,
  graphCommit: text,
  since: time,
  until: time,
  eventId: text,
  prevEventId: text,
};

/**
 * The known fields of the caller's object. A field is absent if it is undefined.
 *
 * @param {any} given
 * @param {string} name
 * @param {Record<string, (value: any, name: string) => unknown>} known
 * @returns {Record<string, any>}
 */
function fields(given, name, known) {
  if (!isObject(given)) throw invalid(`${name} must be an object`);
  /** @type {Record<string, any>} */
  const read = { __proto__: null };
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(known, key)) {
      throw invalid(
        `unknown field ${name}.${excerpt(key)}, known are ${Object.keys(known).join(', ')}`,
      );
    }
    if (value !== undefined) read[key] = known[key](value, `${name}.${key}`);
  }
  return read;
}

/**
 * A place for the binding.
 *
 * @param {unknown} given
 * @param {string} name
 * @returns {unknown}
 */
function placeOf(given, name) {
  if (given === undefined || given === 'start' || given === 'end') return given;
  return reading(name, () => {
    const kinds = Object.keys(PLACES).join(', ');
    const rule = `must be 'start', 'end' or an object with exactly one of ${kinds}`;
    if (!isObject(given)) throw invalid(`${name} ${rule}`);
    const place = fields(given, name, PLACES);
    if (Object.keys(place).length !== 1) throw invalid(`${name} ${rule}`);
    return place;
  });
}

/**
 * A filter for the binding.
 *
 * @param {unknown} given
 * @returns {Record<string, unknown> | undefined}
 */
function whereOf(given) {
  if (given === undefined) return undefined;
  return reading('where', () => {
    const { actor, ...where } = fields(given, 'where', WHERE);
    return { ...where, agent: actor?.agent, actorId: actor?.id };
  });
}

module.exports = { placeOf, whereOf };
