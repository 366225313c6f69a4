'use strict';

const { fileURLToPath } = require('node:url');
const { causeOf, invalid, reading } = require('./errors.js');
const { validatePath } = require('./native.js');
const { PATH, readOptions } = require('./options.js');
const { unwrap } = require('./port.js');
const { excerpt } = require('./printable.js');

/**
 * A path for the binding. A lone surrogate would become U+FFFD there and name another file.
 *
 * @param {unknown} given a string or a `file:` URL
 * @returns {string}
 */
function pathText(given) {
  const path = typeof given === 'string' ? given : pathOfUrl(given);
  if (!path.isWellFormed()) {
    throw invalid('Chronicle path must be well-formed Unicode', { path });
  }
  return path;
}

/**
 * The path of a `file:` URL. A URL is recognised by its shape, as it may be of another realm.
 *
 * @param {any} url
 * @returns {string}
 */
function pathOfUrl(url) {
  const href = reading('Chronicle path', () => {
    const isUrl = typeof url?.href === 'string' && typeof url.protocol === 'string';
    return isUrl ? String(url.href) : undefined;
  });
  if (href === undefined) throw invalid('Chronicle path must be a string or a file: URL');
  try {
    return fileURLToPath(href);
  } catch (thrown) {
    const cause = causeOf(thrown);
    const message = `Chronicle path must be a file: URL of this computer, not ${excerpt(href)}`;
    throw invalid(message, { cause });
  }
}

/**
 * The path as text, for errors and messages. What is no path stays as it is.
 *
 * @param {any} given
 * @returns {any}
 */
function shownPath(given) {
  if (typeof given !== 'object') return given;
  try {
    return pathText(given);
  } catch {
    return given;
  }
}

/**
 * @param {unknown} path a string or a `file:` URL
 * @param {import('../../index.d.ts').PathOptions} [options]
 * @returns {string}
 */
function validateChroniclePath(path, options) {
  const { anyExtension = false } = readOptions(options, PATH);
  const name = pathText(path);
  return unwrap(validatePath(name, anyExtension), { path: name });
}

module.exports = { pathText, shownPath, validateChroniclePath };
