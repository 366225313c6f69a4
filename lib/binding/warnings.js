'use strict';

/** The latest warnings that are emitted once. */
const warned = new Set();

// A forgotten warning may be emitted a second time.
const MAX_REMEMBERED = 1000;

/**
 * Emits a process warning. Programs recognise it by its code in `process.on('warning')`.
 *
 * @param {string} code
 * @param {string} message
 */
function warn(code, message) {
  try {
    process.emitWarning(message, { type: 'ChronicleWarning', code });
  } catch {
    // A program may have replaced `emitWarning` by a function that throws.
  }
}

/**
 * Emits a process warning once for each subject.
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
