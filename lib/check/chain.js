'use strict';

const { open } = require('node:fs/promises');
const { append, asNotWritten } = require('../append/append.js');
const { ChronicleError, causeOf, invalid } = require('../binding/errors.js');
const { CHAIN, CHAIN_APPEND, readOptions } = require('../binding/options.js');
const { pathText, shownPath } = require('../binding/path.js');
const { excerpt, printable } = require('../binding/printable.js');
const { absolute } = require('../binding/working-folder.js');
const { sortedByTime } = require('../event/compare.js');
const { eventText } = require('../event/text.js');
const { readAll, readPages, tailChronicle } = require('../read/read.js');

/**
 * @typedef {import('../../index.d.ts').BrokenLink} BrokenLink
 * @typedef {import('../../index.d.ts').Receipt} Receipt
 */

/**
 * A field that links records: a non-empty string. Values of other types are ignored.
 *
 * @param {any} event
 * @param {'eventId' | 'prevEventId'} field
 * @returns {string | undefined}
 */
function link(event, field) {
  const value = Object.hasOwn(event, field) ? event[field] : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<import('../../index.d.ts').ChainLink<any>[]>}
 */
async function buildCausalChain(path, options) {
  const events = await readAll(path, readOptions(options, CHAIN));
  const ids = new Set(events.map((event) => link(event, 'eventId')));
  const followed = new Set(events.map((event) => link(event, 'prevEventId')));
  /** @param {Set<string | undefined>} set @param {string | undefined} id */
  const has = (set, id) => id !== undefined && set.has(id);
  return events.map((event, index) => ({
    event,
    index,
    hasNext: has(followed, link(event, 'eventId')),
    hasPrev: has(ids, link(event, 'prevEventId')),
  }));
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<import('../../index.d.ts').ChainValidationResult>}
 */
async function validateCausalChain(path, options) {
  /** @type {Map<string, number>} the first index of each id */
  const places = new Map();
  /** @type {{ eventIndex: number, eventId: string, previous: string }[]} */
  const links = [];
  let totalEvents = 0;
  await readPages(path, readOptions(options, CHAIN), (events) => {
    for (const event of events) {
      const eventIndex = totalEvents;
      totalEvents += 1;
      const eventId = link(event, 'eventId');
      if (eventId === undefined) continue;
      if (!places.has(eventId)) places.set(eventId, eventIndex);
      const previous = link(event, 'prevEventId');
      if (previous !== undefined) links.push({ eventIndex, eventId, previous });
    }
  });
  /** @type {BrokenLink[]} */
  const brokenLinks = [];
  /** @type {Map<string, string>} the first event that links to each id */
  const followers = new Map();
  for (const { eventIndex, eventId, previous } of links) {
    const fault =
      faultOf(eventId, previous, eventIndex, places.get(previous)) ??
      forkOf(eventId, previous, followers);
    if (fault !== undefined) brokenLinks.push({ eventIndex, eventId, ...fault });
  }
  const orphans = brokenLinks.filter(({ issue }) => issue === 'missing_prev');
  return {
    isValid: brokenLinks.length === 0,
    totalEvents,
    chainedEvents: links.length,
    brokenLinks,
    orphanedEvents: orphans.map(({ eventId }) => eventId),
  };
}

/**
 * The fault of a link, if it has one.
 *
 * @param {string} eventId
 * @param {string} previous
 * @param {number} place the index of the event
 * @param {number | undefined} target the index of the event that the link names
 * @returns {Pick<BrokenLink, 'issue' | 'details'> | undefined}
 */
function faultOf(eventId, previous, place, target) {
  if (previous === eventId) {
    return { issue: 'circular_reference', details: 'prevEventId is the event itself' };
  }
  if (target === undefined) {
    return { issue: 'missing_prev', details: `no event has the eventId ${excerpt(previous)}` };
  }
  if (target >= place) {
    const details = `prevEventId is that of event ${target}, which is not earlier in the file`;
    return { issue: 'invalid_prev', details };
  }
  return undefined;
}

/**
 * The fault that another event has the same `prevEventId`. A duplicate of the event is no fault.
 *
 * @param {string} eventId
 * @param {string} previous
 * @param {Map<string, string>} followers
 * @returns {Pick<BrokenLink, 'issue' | 'details'> | undefined}
 */
function forkOf(eventId, previous, followers) {
  const first = followers.get(previous);
  if (first === undefined) followers.set(previous, eventId);
  if (first === undefined || first === eventId) return undefined;
  return { issue: 'fork', details: 'prevEventId is that of an earlier event, too' };
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {string} eventId
 * @param {unknown} [options]
 * @returns {Promise<any[]>}
 */
async function getCompleteChain(path, eventId, options) {
  const known = readOptions(options, CHAIN);
  if (typeof eventId !== 'string' || eventId === '') {
    throw invalid('eventId must be a non-empty string');
  }
  const events = await readAll(path, known);
  /** @type {Map<string, any>} the first event of each id */
  const byId = new Map();
  for (const event of events) {
    const id = link(event, 'eventId');
    if (id !== undefined && !byId.has(id)) byId.set(id, event);
  }
  if (!byId.has(eventId))
    throw invalid(`no event has the eventId ${excerpt(eventId)}`, { path: pathText(path) });
  /** @type {Set<string>} */
  const chain = new Set();
  // `chain.has` ends a circular chain.
  for (let id = /** @type {string | undefined} */ (eventId); id !== undefined;) {
    if (chain.has(id) || !byId.has(id)) break;
    chain.add(id);
    id = link(byId.get(id), 'prevEventId');
  }
  for (const [id, event] of byId) {
    const previous = link(event, 'prevEventId');
    if (previous !== undefined && chain.has(previous)) chain.add(id);
  }
  const members = [...byId].filter(([id]) => chain.has(id));
  return sortedByTime(members.map(([, event]) => event));
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<string | undefined>}
 */
async function getChainTail(path, options) {
  const [last] = await tailChronicle(path, 1, readOptions(options, CHAIN));
  return last === undefined ? undefined : link(last, 'eventId');
}

/**
 * @template {object} E
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {E} event
 * @param {unknown} [options]
 * @returns {Promise<E>}
 */
async function appendWithCausalChain(path, event, options) {
  const { forcePrevEventId, known, file, stored } = asNotWritten(path, () => {
    const { forcePrevEventId, ...known } = readOptions(options, CHAIN_APPEND);
    // Absolute: the working folder may change before the record is read back.
    const file = absolute(pathText(path));
    const stored = JSON.parse(eventText(event));
    if (!Object.isExtensible(event)) {
      throw invalid('event must not be frozen: its prevEventId and eventId are set');
    }
    return { forcePrevEventId, known, file, stored };
  });
  if (forcePrevEventId !== undefined) stored.prevEventId = forcePrevEventId;
  const chain = !Object.hasOwn(stored, 'prevEventId');
  const receipt = await append(path, stored, { ...known, chain });
  const record = await recordAt(file, receipt);
  try {
    copyLinks(record, event);
  } catch (thrown) {
    const cause = causeOf(thrown);
    const message = `appended, but the event cannot be changed: ${excerpt(cause.message)}`;
    const at = { path: shownPath(path), cause, written: /** @type {const} */ ('unknown') };
    throw new ChronicleError('EVALIDATION', message, at);
  }
  return event;
}

/**
 * @param {Record<string, unknown>} record
 * @param {object} event
 */
function copyLinks(record, event) {
  // The key too: the id is a hash of the record with its key.
  for (const field of ['prevEventId', 'eventId', 'idempotencyKey']) {
    if (Object.hasOwn(record, field) && typeof record[field] === 'string')
      Object.assign(event, { [field]: record[field] });
  }
}

/**
 * The record that a receipt names.
 *
 * @param {string} path
 * @param {Receipt} receipt
 * @returns {Promise<Record<string, unknown>>}
 */
async function recordAt(path, receipt) {
  const bytes = Buffer.alloc(receipt.length);
  let filled = 0;
  try {
    const file = await open(path);
    try {
      for (let count = -1; count !== 0 && filled < bytes.length; filled += count) {
        const position = receipt.offset + filled;
        count = (await file.read(bytes, filled, bytes.length - filled, position)).bytesRead;
      }
    } finally {
      await file.close();
    }
  } catch (thrown) {
    const cause = causeOf(thrown);
    if (cause.code !== 'ENOENT') {
      const message = `appended, but the record could not be read back: ${cause.message}`;
      throw new ChronicleError('EIO', message, { path, cause, written: 'unknown' });
    }
  }
  const record = parsed(bytes.toString('utf8'));
  if (record === undefined || link(record, 'eventId') !== receipt.eventId) {
    const message = `appended, but ${printable(path)} is another file by now`;
    throw new ChronicleError('ECONFLICT', message, { path, written: 'unknown' });
  }
  return record;
}

/**
 * @param {string} text
 * @returns {Record<string, unknown> | undefined} undefined if the text is no JSON object
 */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

module.exports = {
  appendWithCausalChain,
  buildCausalChain,
  getChainTail,
  getCompleteChain,
  recordAt,
  validateCausalChain,
};
