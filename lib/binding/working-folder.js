'use strict';

const { isAbsolute, join, resolve } = require('node:path');
const { ChronicleError, causeOf } = require('./errors.js');

/**
 * The absolute form of a path at the time of the call. Only a relative path needs the working
 * folder, which may have been removed.
 *
 * @param {string} path
 * @returns {string}
 */
function absolute(path) {
  return isAbsolute(path) ? resolve(path) : fromHere(path, resolve);
}

/**
 * {@link absolute} for a path that keeps its trailing slash.
 *
 * @param {string} path relative
 * @returns {string}
 */
function joined(path) {
  return fromHere(path, (relative) => join(process.cwd(), relative));
}

/**
 * @param {string} path
 * @param {(path: string) => string} become
 * @returns {string}
 */
function fromHere(path, become) {
  try {
    return become(path);
  } catch (thrown) {
    const cause = causeOf(thrown);
    const message = `the working folder cannot be found, so ${JSON.stringify(path)} names no file`;
    throw new ChronicleError('EIO', message, { path, cause });
  }
}

module.exports = { absolute, joined };
