'use strict';

const { createHash } = require('node:crypto');
const { invalid, reading } = require('../binding/errors.js');
const { yieldToEventLoop } = require('../binding/event-loop.js');
const { canonicalForms, instants } = require('../binding/native.js');
const { jsonOf } = require('../binding/own-properties.js');
const { unwrap } = require('../binding/port.js');
const { eventText } = require('./text.js');

// The size of one call of the binding, in code units: some milliseconds of work.
const CHUNK_CODE_UNITS = 1024 * 1024;

/**
 * The JSON texts of events, made during the call.
 *
 * @param {readonly object[]} events
 */
function textsOf(events) {
  if (!Array.isArray(events)) throw invalid('events must be an array');
  return reading('events', () => Array.from(events, (event, index) => eventText(event, index)));
}

/**
 * The canonical forms of events without their ids, chunk by chunk.
 *
 * @param {string[]} texts
 * @returns {Generator<string[], void, void>}
 */
function* canonicalChunks(texts) {
  for (let first = 0, end = 0; first < texts.length; first = end) {
    for (let size = 0; end < texts.length && size < CHUNK_CODE_UNITS; end += 1)
      size += texts[end].length;
    yield unwrap(canonicalForms(texts.slice(first, end).join('\n')), { first });
  }
}

/**
 * The timestamp as text. A record of a foreign writer may have a number or no timestamp.
 *
 * @param {any} event
 */
function timeText({ timestamp }) {
  return typeof timestamp === 'string' || typeof timestamp === 'number' ? String(timestamp) : '';
}

// A fixed locale: the order decides a hash, which must not depend on the locale of the process.
const collator = new Intl.Collator('en');

/**
 * @param {object} a
 * @param {object} b
 */
function byTimeText(a, b) {
  return collator.compare(timeText(a), timeText(b));
}

/**
 * Events in the order of their points in time. Events without a readable time come first; events of
 * one time keep their order.
 *
 * @param {readonly any[]} events
 * @returns {any[]}
 */
function sortedByTime(events) {
  const places = placesInTime(
    events.map((event) => (Object.hasOwn(event, 'timestamp') ? event.timestamp : null)),
  );
  const order = events.map((event, index) => ({ event, place: places[index] ?? -1 }));
  return order.sort((a, b) => a.place - b.place).map(({ event }) => event);
}

/**
 * The rank of each time among the different points in time; null for a value that is no time. Only
 * the core parses times.
 *
 * @param {readonly unknown[]} times
 * @returns {(number | null)[]}
 */
function placesInTime(times) {
  const readable = times.map((time) =>
    typeof time === 'string' || typeof time === 'number' ? time : null,
  );
  return unwrap(instants(jsonOf(readable)));
}

/**
 * @param {readonly object[]} events
 * @returns {Promise<string>}
 */
async function computeChronicleHash(events) {
  const texts = textsOf(events);
  const order = events.map((event, place) => ({ timestamp: timeText(event), place }));
  order.sort(byTimeText);
  /** @type {string[]} */
  const forms = [];
  for (const slice of canonicalChunks(texts)) {
    for (const form of slice) forms.push(form);
    await yieldToEventLoop();
  }
  const hash = createHash('sha256').update('[');
  let hashed = 0;
  for (const [at, { place }] of order.entries()) {
    hash.update(at === 0 ? forms[place] : `,${forms[place]}`);
    hashed += forms[place].length;
    if (hashed < CHUNK_CODE_UNITS) continue;
    hashed = 0;
    await yieldToEventLoop();
  }
  return hash.update(']').digest('hex');
}

/**
 * @param {object} a
 * @param {object} b
 * @returns {boolean}
 */
function eventsAreIdentical(a, b) {
  const [first, second] = [a, b].map((event) =>
    unwrap(canonicalForms(eventText(event)), { single: true }),
  );
  return first[0] === second[0];
}

/**
 * @template {object} E
 * @param {readonly E[]} events
 * @returns {Map<string, E[]>}
 */
function findDuplicateEvents(events) {
  /** @type {Map<string, E[]>} */
  const groups = new Map();
  let place = 0;
  for (const forms of canonicalChunks(textsOf(events))) {
    for (const form of forms) {
      const group = groups.get(form);
      if (group === undefined) groups.set(form, [events[place]]);
      else group.push(events[place]);
      place += 1;
    }
  }
  for (const [form, group] of groups) if (group.length < 2) groups.delete(form);
  return groups;
}

module.exports = {
  computeChronicleHash,
  eventsAreIdentical,
  findDuplicateEvents,
  placesInTime,
  sortedByTime,
};
