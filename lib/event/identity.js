'use strict';

const { causeOf, invalid } = require('../binding/errors.js');
const { yieldToEventLoop } = require('../binding/event-loop.js');
const { computeIds, verifyId } = require('../binding/native.js');
const { unwrap } = require('../binding/port.js');
const { eventText, eventTexts } = require('./text.js');

// The size hashed in one turn of the event loop, in code units: some milliseconds of work.
const CHUNK_CODE_UNITS = 1024 * 1024;

/** @param {object} event */
async function computeEventId(event) {
  return unwrap(computeIds(eventText(event)), { single: true })[0];
}

/**
 * @param {readonly object[]} events
 * @returns {Promise<string[]>}
 */
async function computeEventIds(events) {
  const texts = Array.from(eventTexts(events));
  /** @type {string[]} */
  const ids = [];
  while (ids.length < texts.length) {
    const first = ids.length;
    let end = first;
    for (let size = 0; end < texts.length && size < CHUNK_CODE_UNITS; end += 1)
      size += texts[end].length + 1;
    if (first > 0) await yieldToEventLoop();
    // Not `push(...ids)`: that number of arguments may overflow the stack.
    for (const id of unwrap(computeIds(texts.slice(first, end).join('\n')), { first }))
      ids.push(id);
  }
  return ids;
}

/** @param {object} event */
async function verifyEventId(event) {
  return unwrap(verifyId(eventText(event)), { single: true }) !== null;
}

/**
 * @template {object} E
 * @param {E} event
 * @returns {Omit<E, 'eventId'>}
 */
function canonicalizeEvent(event) {
  /** @type {Omit<E, 'eventId'> | undefined} */
  let copy;
  try {
    if (typeof event === 'object' && event !== null && !Array.isArray(event)) {
      const { eventId: _, ...rest } = /** @type {E & { eventId?: unknown }} */ (event);
      copy = rest;
    }
  } catch (thrown) {
    throw invalid('event could not be read', { cause: causeOf(thrown) });
  }
  if (copy === undefined) throw invalid('event must be an object');
  return copy;
}

module.exports = { canonicalizeEvent, computeEventId, computeEventIds, verifyEventId };
