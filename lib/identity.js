'use strict';

const { setImmediate: nextTurn } = require('node:timers/promises');
const { computeIds, verifyId } = require('../binding.js');
const { invalid } = require('./errors.js');
const { unwrap } = require('./port.js');
const { eventText } = require('./text.js');

// How much is hashed in one turn of the event loop, in code units: some milliseconds' worth.
const SLICE = 1024 * 1024;

/** @param {object} event */
async function computeEventId(event) {
  return unwrap(computeIds(eventText(event)), { single: true })[0];
}

/**
 * @param {readonly object[]} events
 * @returns {Promise<string[]>}
 */
async function computeEventIds(events) {
  if (!Array.isArray(events)) throw invalid('events must be an array');
  const texts = Array.from(events, (event, index) => eventText(event, index));
  /** @type {string[]} */
  const ids = [];
  while (ids.length < texts.length) {
    const first = ids.length;
    let end = first;
    for (let size = 0; end < texts.length && size < SLICE; end += 1) size += texts[end].length;
    if (first > 0) await nextTurn();
    ids.push(...unwrap(computeIds(texts.slice(first, end).join('\n')), { first }));
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
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    throw invalid('event must be an object');
  }
  const { eventId: _, ...rest } = /** @type {E & { eventId?: unknown }} */ (event);
  return rest;
}

module.exports = { canonicalizeEvent, computeEventId, computeEventIds, verifyEventId };
