'use strict';

/**
 * A copy with only the object's own properties: a property that a program puts on
 * `Object.prototype` is no option and no part of a result.
 *
 * @template {object} T
 * @param {T} object
 * @returns {T}
 */
function ownCopy(object) {
  return /** @type {T} */ ({ __proto__: null, ...object });
}

/**
 * A property of the caller's object. A property of `Object.prototype` counts as absent; one that is
 * inherited from a class counts.
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
  // No holder: a proxy made the property up.
  const isOfAll = holder !== null && Object.getPrototypeOf(holder) === null;
  return isOfAll ? undefined : value;
}

/**
 * The JSON text of plain data. `JSON.stringify` would call a `toJSON` that a library put on the
 * prototype of arrays or objects.
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
