'use strict';

const { causeOf, invalid } = require('../binding/errors.js');
const { excerpt } = require('../binding/printable.js');

/** @typedef {import('../../types/handle.d.ts').Clock} Clock */

/** @type {Clock} */
const systemClock = { now: () => new Date().toISOString() };

/**
 * The events whose timestamp is the time of a clock.
 *
 * @type {WeakSet<object>}
 */
const withClockTime = new WeakSet();

/**
 * The event of a JSON text. If it has no `timestamp`, the clock's time becomes its timestamp.
 *
 * @param {string} text
 * @param {Clock} clock
 * @param {object} [source] the event from which a schema made this one
 * @returns {Record<string, any>}
 */
function stamped(text, clock, source) {
  const event = JSON.parse(text);
  const given = Object.hasOwn(event, 'timestamp') ? event.timestamp : undefined;
  const isMissing = (given ?? '') === '';
  if (isMissing) event.timestamp = timeOf(clock);
  if (isMissing || (source !== undefined && withClockTime.has(source))) withClockTime.add(event);
  return event;
}

/**
 * Whether {@link stamped} gave the event its timestamp.
 *
 * @param {object} event
 */
function isStamped(event) {
  return withClockTime.has(event);
}

/**
 * The clock's time as text.
 *
 * @param {Clock} clock
 * @returns {string}
 */
function timeOf(clock) {
  let text;
  try {
    text = isoText(clock.now());
  } catch (thrown) {
    const cause = causeOf(thrown);
    throw invalid(`clock.now() gave no time: ${excerpt(cause.message)}`, { cause });
  }
  if (text === undefined) {
    throw invalid('clock.now() must give an ISO 8601 string, a Date or milliseconds');
  }
  return text;
}

/**
 * A time as text. A string is taken as it is, as in an event; a Date may be of another realm.
 *
 * @param {any} time
 * @returns {string | undefined}
 */
function isoText(time) {
  if (typeof time === 'string') return time === '' ? undefined : time;
  if (typeof time === 'number') return new Date(time).toISOString();
  return typeof time?.toISOString === 'function' ? String(time.toISOString()) : undefined;
}

module.exports = { isStamped, stamped, systemClock };
