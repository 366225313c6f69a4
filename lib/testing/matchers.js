'use strict';

const { isDeepStrictEqual } = require('node:util');
const { invalid } = require('../binding/errors.js');
const { placesInTime } = require('../event/compare.js');

/**
 * Matchers for `expect.extend` of vitest and jest, also usable on their own. Each takes the events
 * of a chronicle in file order; an event may be any JSON value.
 *
 * @typedef {import('../../testing.d.ts').MatcherResult} MatcherResult
 * @typedef {{
 *   equals?: (a: unknown, b: unknown) => boolean,
 *   utils?: { diff?: (a: unknown, b: unknown) => string | null | undefined },
 * }} Runner what vitest and jest bind a matcher to
 */

/** The events that a message of a failed match lists. */
const MAX_LISTED_EVENTS = 20;

/**
 * @param {boolean} pass
 * @param {() => string} message
 * @returns {MatcherResult}
 */
function result(pass, message) {
  return { pass, message };
}

/**
 * @param {unknown} received
 * @returns {any[]}
 */
function eventsOf(received) {
  if (!Array.isArray(received)) throw invalid('the value to be matched must be an array of events');
  return received;
}

/**
 * The equality of the runner, which knows asymmetric matchers (`expect.any(String)`). Without a
 * runner it is deep equality.
 *
 * @param {Runner | undefined | void} runner
 * @returns {(value: unknown, wanted: any) => boolean}
 */
function equalityOf(runner) {
  if (typeof runner?.equals === 'function') {
    // As a method: Bun looks at its `this`.
    return (value, wanted) => /** @type {any} */ (runner).equals(value, wanted);
  }
  return (value, wanted) =>
    typeof wanted?.asymmetricMatch === 'function'
      ? wanted.asymmetricMatch(value)
      : isDeepStrictEqual(value, wanted);
}

/**
 * The fields of the pattern that the event has, by name. The fields of an actor are compared one by
 * one, and count as one.
 *
 * @param {any} event
 * @param {Record<string, any>} pattern
 * @param {(value: unknown, wanted: any) => boolean} equals
 */
function fittingFields(event, pattern, equals) {
  return Object.entries(pattern).filter(([field, wanted]) => {
    if (field !== 'actor' || isMatcher(wanted)) return equals(event?.[field], wanted);
    if (wanted === undefined) return true;
    if (typeof wanted !== 'object' || wanted === null) return equals(event?.actor, wanted);
    return Object.entries(wanted).every(([name, part]) => equals(event?.actor?.[name], part));
  });
}

/** @param {any} value */
function isMatcher(value) {
  return typeof value?.asymmetricMatch === 'function';
}

/**
 * The event that has most fields of the pattern, the last one among equals, and its index.
 *
 * @param {any[]} events
 * @param {Record<string, any>} pattern
 * @param {(value: unknown, wanted: any) => boolean} equals
 */
function nearest(events, pattern, equals) {
  let [index, most] = [-1, 0];
  for (const [at, event] of events.entries()) {
    const count = fittingFields(event, pattern, equals).length;
    if (count >= most && count > 0) [index, most] = [at, count];
  }
  return index;
}

/**
 * How the event differs from the pattern, in the fields of the pattern.
 *
 * @param {any} event
 * @param {Record<string, any>} pattern
 * @param {Runner | undefined | void} runner
 */
function difference(event, pattern, runner) {
  const parts = Object.keys(pattern).map((field) => [field, event?.[field]]);
  const found = Object.fromEntries(parts);
  return runner?.utils?.diff?.(pattern, found) ?? shown(found);
}

/** @param {unknown} value */
function shown(value) {
  return JSON.stringify(value, null, 2);
}

/**
 * @this {Runner | undefined | void}
 * @param {readonly unknown[]} received
 * @param {import('../../testing.d.ts').EventPattern} pattern
 */
function toContainEvent(received, pattern) {
  const runner = this;
  const equals = equalityOf(runner);
  const events = eventsOf(received);
  if (typeof pattern !== 'object' || pattern === null) throw invalid('pattern must be an object');
  const count = Object.keys(pattern).length;
  const found = events.find((event) => fittingFields(event, pattern, equals).length === count);
  if (found !== undefined) return result(true, () => `Found matching event: ${shown(found)}`);
  return result(false, () => {
    const wanted = `Expected to find event matching:\n${shown(pattern)}`;
    const index = nearest(events, pattern, equals);
    if (index !== -1) {
      const place = `Nearest of ${events.length} events, at index ${index}`;
      return `${wanted}\n${place}:\n${difference(events[index], pattern, runner)}`;
    }
    const listed = events.slice(0, MAX_LISTED_EVENTS);
    const brief = listed.map((event) => ({ type: event?.type, eventId: event?.eventId }));
    const rest = events.length - listed.length;
    const more = rest > 0 ? `\nand ${rest} more` : '';
    return `${wanted}\nIn events:\n${shown(brief)}${more}`;
  });
}

/** @param {readonly unknown[]} received */
function toMaintainCausalChain(received) {
  const events = eventsOf(received);
  /** @type {string[]} */
  const faults = [];
  const seen = new Set();
  const times = placesInTime(events.map((event) => event?.timestamp));
  for (const [index, event] of events.entries()) {
    const previous = index === 0 ? undefined : events[index - 1];
    const [before, now] = [times[index - 1] ?? null, times[index] ?? null];
    if (before !== null && now !== null && now < before) {
      const times = `${event.timestamp} < ${previous.timestamp}`;
      faults.push(`Event ${index} has timestamp earlier than previous event (${times})`);
    }
    const { prevEventId } = event ?? {};
    if (index > 0 && prevEventId && prevEventId !== previous?.eventId) {
      const ids = `${prevEventId} != ${previous?.eventId}`;
      faults.push(`Event ${index} has incorrect prevEventId reference (${ids})`);
    }
    const id = event?.eventId;
    if (!id) continue;
    if (seen.has(id)) faults.push(`Found duplicate eventIds: event ${index} has ${id} again`);
    seen.add(id);
  }
  if (faults.length > 0) {
    return result(false, () => `Causal chain violations:\n${faults.join('\n')}`);
  }
  return result(true, () => `Causal chain properly maintained across ${events.length} events`);
}

/** @param {readonly unknown[]} received */
function toHaltOnContradiction(received) {
  const events = eventsOf(received);
  const halt = events.find((event) => event?.type === 'HALT_AND_REPORT');
  if (halt === undefined) {
    const where = `in ${events.length} events`;
    return result(false, () => `Expected HALT_AND_REPORT event but none found ${where}`);
  }
  return result(true, () => `System properly halted on contradiction: ${halt.invariant}`);
}

/**
 * @param {readonly unknown[]} received
 * @param {string} [planId] default: any plan
 */
function toStampUnsafe(received, planId) {
  const events = eventsOf(received);
  const stamps = events.filter((event) => event?.type === 'PLAN_UNSAFE');
  const count = stamps.length;
  if (planId !== undefined) {
    if (stamps.some((event) => event.planId === planId)) {
      return result(true, () => `Plan ${planId} properly stamped as unsafe`);
    }
    const others = `found ${count} other unsafe events`;
    return result(false, () => `Plan ${planId} not stamped as unsafe (${others})`);
  }
  if (count > 0) return result(true, () => `Found ${count} unsafe plan stamp(s)`);
  return result(false, () => `No PLAN_UNSAFE events found in ${events.length} events`);
}

/**
 * @param {readonly unknown[]} received
 * @param {string} [filePath] default: every file with a rogue edit, and at least one reconciliation
 */
function toReconcileChanges(received, filePath) {
  const events = eventsOf(received);
  if (filePath !== undefined) return reconciles(events, filePath);
  if (!events.some((event) => event?.type === 'RECONCILIATION')) {
    return result(false, () => 'No reconciliation events found');
  }
  const edited = events.filter((event) => event?.type === 'ROGUE_EDIT_DETECTED');
  const files = new Set(edited.map((event) => event.filePath));
  const verdicts = Array.from(files, (file) => reconciles(events, file));
  const fault = verdicts.find(({ pass }) => !pass);
  return fault ?? result(true, () => `Reconciled after every rogue edit detection (${files.size})`);
}

/**
 * @param {any[]} events
 * @param {string} filePath
 */
function reconciles(events, filePath) {
  const place = (/** @type {string} */ type) =>
    events.findIndex((event) => event?.type === type && event.filePath === filePath);
  const edit = place('ROGUE_EDIT_DETECTED');
  const reconciliation = place('RECONCILIATION');
  if (edit === -1 || reconciliation === -1) {
    const found = `rogue: ${edit !== -1}, recon: ${reconciliation !== -1}`;
    return result(false, () => `Missing reconciliation flow for ${filePath} (${found})`);
  }
  if (reconciliation < edit) {
    const what = 'Reconciliation event occurred before rogue edit detection';
    return result(false, () => `${what} for ${filePath}`);
  }
  return result(true, () => `File ${filePath} properly reconciled after rogue edit detection`);
}

module.exports = {
  toContainEvent,
  toHaltOnContradiction,
  toMaintainCausalChain,
  toReconcileChanges,
  toStampUnsafe,
};
