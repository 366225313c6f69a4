'use strict';

const { BadLines } = require('./bad-lines.js');
const { invalid } = require('../binding/errors.js');
const { Reader } = require('../binding/native.js');
const {
  COUNT,
  MEMORY,
  QUERY,
  READ,
  TEXTS,
  readOptions,
  toNative,
} = require('../binding/options.js');
const { own } = require('../binding/own.js');
const { pathText, validateChroniclePath } = require('../binding/path.js');
const { nextTurn, openPort, request, throwIfAborted, unwrap } = require('../binding/port.js');
const { whereOf } = require('./select.js');
const { recordTexts } = require('../event/text.js');

const TAIL_COUNT = 10;

// A count beyond any file; it fits 32 bits.
const MOST_TAIL = 2 ** 32 - 1;

/**
 * @param {string} path
 * @param {unknown} [options]
 * @returns {Promise<any[]>}
 */
async function readChronicle(path, options) {
  return readAll(path, readOptions(options, READ));
}

/**
 * @param {string} path
 * @param {number} [n]
 * @param {unknown} [options]
 * @returns {Promise<any[]>}
 */
async function tailChronicle(path, n = TAIL_COUNT, options) {
  const known = readOptions(options, READ);
  const name = pathText(path);
  if (typeof n !== 'number') throw invalid('Tail count must be a number');
  if (n < 0) throw invalid('Tail count must be non-negative');
  if (!Number.isInteger(n)) throw invalid('Tail count must be an integer');
  if (n === 0) {
    throwIfAborted(known.signal);
    validateChroniclePath(name, { anyExtension: known.anyExtension });
    return [];
  }
  const lines = tellsLines(known.onBadLine);
  return readAll(name, { ...known, tail: Math.min(n, MOST_TAIL), lines });
}

/**
 * @param {string} path
 * @param {unknown} [where]
 * @param {unknown} [options]
 * @returns {Promise<any[]>}
 */
async function queryChronicle(path, where, options) {
  const known = readOptions(options, QUERY);
  const lines = tellsLines(known.onBadLine);
  return readAll(path, { ...known, where: whereOf(where), lines });
}

/**
 * @param {string} path
 * @param {unknown} [where]
 * @param {unknown} [options]
 * @returns {Promise<number>}
 */
async function countEvents(path, where, options) {
  const known = readOptions(options, COUNT);
  const lines = tellsLines(known.onBadLine);
  let total = 0;
  await readSlices(
    path,
    { ...known, where: whereOf(where), lines, count: true },
    (_events, { count }) => {
      total += count;
    },
  );
  return total;
}

/**
 * Whether somebody sees the numbers of bad lines: for them every line has to be looked at, and
 * those before counted.
 *
 * @param {unknown} policy
 */
function tellsLines(policy) {
  return policy !== undefined && policy !== 'skip';
}

/**
 * @param {string} path
 * @param {Record<string, any>} options
 */
async function readAll(path, options) {
  /** @type {any[]} */
  const records = [];
  const { positions } = own(options);
  await readSlices(path, options, (events, { places }) => {
    for (let i = 0; i < events.length; i += 1) {
      records.push(positions ? positioned(events[i], places, i) : events[i]);
    }
  });
  return records;
}

/**
 * What the binding tells of a slice besides its records: how many they are, and if that was asked
 * seq, offset, length and line of each.
 *
 * @typedef {{ count: number, places: number[] }} SliceFacts
 */

/**
 * Calls `meet` with the records of each slice, in file order.
 *
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 * @param {(events: any[], facts: SliceFacts) => void} meet
 */
async function readSlices(path, options, meet) {
  const { signal, onBadLine, ...rest } = own(options);
  const name = pathText(path);
  const badLines = new BadLines(name, onBadLine);
  const records = recordsOf(rest);
  const reader = new Reader(openPort(), name, toNative(rest), rest[MEMORY]);
  try {
    for (;;) {
      // Each slice is a turn of the event loop of its own.
      const { outcome, text } = await request((_port, id) => reader.next(id), signal);
      const slice = unwrap(outcome, { signal, path: name });
      badLines.meet(slice.bad);
      if (text !== null) meet(records({ text, places: slice.places }), slice);
      if (slice.done) break;
      await nextTurn();
    }
  } finally {
    reader.close();
  }
  badLines.end();
}

/**
 * How the records of a slice are made of it: parsed, or as texts where the options say so.
 *
 * @param {Record<string | symbol, any>} options
 * @returns {(slice: { text: string, places: number[] }) => any[]}
 */
function recordsOf({ [TEXTS]: texts }) {
  return texts ? ({ text, places }) => recordTexts(text, places) : ({ text }) => JSON.parse(text);
}

/**
 * A record of a slice with its position.
 *
 * @param {any} event
 * @param {number[]} places
 * @param {number} index
 */
function positioned(event, places, index) {
  const [seq, offset, length] = places.slice(4 * index, 4 * index + 3);
  return { event, seq, offset, length };
}

module.exports = {
  countEvents,
  positioned,
  queryChronicle,
  readAll,
  readChronicle,
  readSlices,
  recordsOf,
  tailChronicle,
  tellsLines,
};
