'use strict';

/** What was warned of once. */
const warned = new Set();

// What is forgotten may be warned of once more.
const MAX_REMEMBERED = 1000;

/**
 * One process warning. Its code is for programs that listen to `process.on('warning')`.
 *
 * @param {string} code
 * @param {string} message
 */
function warn(code, message) {
  try {
    process.emitWarning(message, { type: 'ChronicleWarning', code });
  } catch {
    // A program may have put a function of its own there. What is warned of has happened all the same.
  }
}

/**
 * A process warning that comes once for each subject.
 *
 * @param {string} code
 * @param {string} subject
 * @param {string} message
 */
function warnOnce(code, subject, message) {
  const key = `${code} ${subject}`;
  const isNews = !warned.delete(key);
  warned.add(key);
  if (warned.size > MAX_REMEMBERED) warned.delete(warned.values().next().value);
  if (isNews) warn(code, message);
}

module.exports = { warn, warnOnce };
