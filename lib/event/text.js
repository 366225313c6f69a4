'use strict';

const { isSharedArrayBuffer, isUint8Array } = require('node:util').types;
const { causeOf, invalid } = require('../binding/errors.js');
const { excerpt } = require('../binding/printable.js');

/**
 * The JSON text of an event, made during the call: later changes by the caller have no effect. An
 * event is any value that `JSON.stringify` writes as an object.
 *
 * @param {unknown} event
 * @param {number} [index] of the event in a batch
 * @returns {string}
 */
function eventText(event, index) {
  /** @type {string | undefined} */
  let text;
  try {
    text = JSON.stringify(event);
  } catch (thrown) {
    const cause = causeOf(thrown);
    throw invalid(`event cannot be represented in JSON: ${excerpt(cause.message)}`, {
      cause,
      index,
    });
  }
  if (text === undefined || !text.startsWith('{')) {
    throw invalid('event must be an object', { index });
  }
  return text;
}

/**
 * The number of events of a batch. A proxy may refuse every access.
 *
 * @param {any} events
 * @returns {number}
 */
function eventCount(events) {
  /** @type {number | undefined} */
  let count;
  try {
    if (Array.isArray(events)) count = Number(events.length);
  } catch (thrown) {
    throw invalid('events could not be read', { cause: causeOf(thrown) });
  }
  if (count === undefined) throw invalid('events must be an array');
  return count;
}

/**
 * The JSON texts of a batch, in order.
 *
 * @param {any} events
 */
function* eventTexts(events) {
  const count = eventCount(events);
  for (let index = 0; index < count; index += 1) yield textAt(events, index);
}

/**
 * The JSON text of one event of a batch.
 *
 * @param {any} events
 * @param {number} index
 */
function textAt(events, index) {
  let event;
  try {
    event = events[index];
  } catch (thrown) {
    throw invalid('event could not be read', { cause: causeOf(thrown), index });
  }
  return eventText(event, index);
}

/**
 * The bytes of whole lines; the UTF-8 of a string.
 *
 * @param {unknown} lines
 * @returns {Uint8Array}
 */
function lineBytes(lines) {
  if (typeof lines === 'string') {
    if (lines.isWellFormed()) return Buffer.from(lines);
    const bad = (/** @type {string} */ line) => !line.isWellFormed();
    const index = lines.split('\n').filter(isLine).findIndex(bad);
    throw invalid('line has a lone surrogate, which UTF-8 cannot hold', { index });
  }
  if (!isUint8Array(lines)) throw invalid('lines must be a string or a Uint8Array');
  // Another thread may write shared memory while the binding copies it.
  return isSharedArrayBuffer(lines.buffer) ? Uint8Array.from(lines) : lines;
}

/**
 * The texts of the records of a page.
 *
 * @param {string} text of the page, one JSON array
 * @param {number[]} places seq, offset, length and line of each
 * @returns {string[]}
 */
function recordTexts(text, places) {
  const lengths = places.filter((_, index) => index % 4 === 2);
  const size = lengths.reduce((sum, length) => sum + length + 1, 1);
  // Lengths are in bytes. If all characters are ASCII, they are also in code units.
  const bytes = text.length === size ? undefined : Buffer.from(text);
  let end = 0;
  return lengths.map((length) => {
    const begin = end + 1;
    end = begin + length;
    return bytes === undefined ? text.slice(begin, end) : bytes.toString('utf8', begin, end);
  });
}

/**
 * Whether a line has more than spaces, tabs and `\r`.
 *
 * @param {string} line
 */
function isLine(line) {
  return /[^ \t\r]/.test(line);
}

/** @param {unknown} event */
function serializeEvent(event) {
  return `${eventText(event)}\n`;
}

module.exports = {
  eventCount,
  eventText,
  eventTexts,
  lineBytes,
  recordTexts,
  serializeEvent,
  textAt,
};
