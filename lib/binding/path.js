'use strict';

const { invalid } = require('./errors.js');
const { validatePath } = require('./native.js');
const { PATH, readOptions } = require('./options.js');
const { unwrap } = require('./port.js');

/**
 * A path for the binding. A lone surrogate would become U+FFFD there and name another file.
 *
 * @param {unknown} path
 * @returns {string}
 */
function pathText(path) {
  if (typeof path !== 'string') throw invalid('Chronicle path must be a string');
  if (!path.isWellFormed()) {
    throw invalid('Chronicle path must be well-formed Unicode', { path });
  }
  return path;
}

/**
 * @param {string} path
 * @param {import('../../index.d.ts').PathOptions} [options]
 * @returns {string}
 */
function validateChroniclePath(path, options) {
  const { anyExtension = false } = readOptions(options, PATH);
  const name = pathText(path);
  return unwrap(validatePath(name, anyExtension), { path: name });
}

module.exports = { pathText, validateChroniclePath };
