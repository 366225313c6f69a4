'use strict';

/**
 * A copy with the object's own properties and no others: what a program puts on `Object.prototype`
 * is no option and no part of a result.
 *
 * @template {object} T
 * @param {T} object
 * @returns {T}
 */
function ownCopy(object) {
  return /** @type {T} */ ({ __proto__: null, ...object });
}

/**
 * A property of an object that a caller gave; one that every object has counts as absent. A class
 * may inherit its own.
 *
 * @param {any} object
 * @param {string} key
 * @returns {unknown}
 */
function propertyOf(object, key) {
  const value = object[key];
  if (value === undefined || Object.hasOwn(object, key)) return value;
  let holder = Object.getPrototypeOf(object);
  while (holder !== null && !Object.hasOwn(holder, key)) holder = Object.getPrototypeOf(holder);
  // None has it where a proxy makes it up.
  const isOfAll = holder !== null && Object.getPrototypeOf(holder) === null;
  return isOfAll ? undefined : value;
}

/**
 * The JSON text of plain data. `JSON.stringify` would ask every array and object for a `toJSON`,
 * also for one that some library put on their prototypes.
 *
 * @param {unknown} value
 * @returns {string}
 */
function jsonOf(value) {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) {
    let text = '';
    for (let i = 0; i < value.length; i += 1) text += (i === 0 ? '' : ',') + jsonOf(value[i]);
    return `[${text}]`;
  }
  let text = '';
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined || typeof member === 'function') continue;
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${jsonOf(member)}`;
  }
  return `{${text}}`;
}

module.exports = { jsonOf, ownCopy, propertyOf };
