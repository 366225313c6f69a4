'use strict';

const { causeOf, invalid } = require('./errors.js');

/**
 * The JSON text of an event, taken at the call: later changes by the caller are not seen. An event
 * is whatever `JSON.stringify` writes as an object.
 *
 * @param {unknown} event
 * @param {number} [index] its place in a batch
 * @returns {string}
 */
function eventText(event, index) {
  /** @type {string | undefined} */
  let text;
  try {
    text = JSON.stringify(event);
  } catch (thrown) {
    const cause = causeOf(thrown);
    throw invalid(`event cannot be represented in JSON: ${cause.message}`, { cause, index });
  }
  if (text === undefined || !text.startsWith('{')) {
    throw invalid('event must be an object', { index });
  }
  return text;
}

/** @param {unknown} event */
function serializeEvent(event) {
  return `${eventText(event)}\n`;
}

module.exports = { eventText, serializeEvent };
