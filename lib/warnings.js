'use strict';

/**
 * One process warning. Its code is for programs that listen to `process.on('warning')`.
 *
 * @param {string} code
 * @param {string} message
 */
function warn(code, message) {
  process.emitWarning(message, { type: 'ChronicleWarning', code });
}

module.exports = { warn };
