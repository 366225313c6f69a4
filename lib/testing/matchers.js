'use strict';

const { invalid } = require('../binding/errors.js');
const { placesInTime } = require('../event/compare.js');

/**
 * Matchers for `expect.extend` of vitest and jest, also usable on their own. Each takes the events
 * of a chronicle in file order; an event may be any JSON value.
 *
 * @typedef {import('../../testing.d.ts').MatcherResult} MatcherResult
 */

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
 * Whether the value has each of these fields, equal by `===`.
 *
 * @param {any} value
 * @param {object} fields
 */
function hasFields(value, fields) {
  return Object.entries(fields).every(([field, wanted]) => value?.[field] === wanted);
}

/**
 * @param {any} event
 * @param {Record<string, any>} pattern
 */
function fits(event, { actor, ...fields }) {
  const isObject = typeof actor === 'object' && actor !== null;
  const sameActor = isObject ? hasFields(event?.actor, actor) : event?.actor === actor;
  return (actor === undefined || sameActor) && hasFields(event, fields);
}

/** @param {unknown} value */
function shown(value) {
  return JSON.stringify(value, null, 2);
}

/**
 * @param {readonly unknown[]} received
 * @param {import('../../testing.d.ts').EventPattern} pattern
 */
function toContainEvent(received, pattern) {
  const events = eventsOf(received);
  if (typeof pattern !== 'object' || pattern === null) throw invalid('pattern must be an object');
  const found = events.find((event) => fits(event, pattern));
  if (found !== undefined) return result(true, () => `Found matching event: ${shown(found)}`);
  const brief = () => events.map((event) => ({ type: event?.type, eventId: event?.eventId }));
  return result(
    false,
    () => `Expected to find event matching:\n${shown(pattern)}\nIn events:\n${shown(brief())}`,
  );
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
