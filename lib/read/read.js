'use strict';

const { invalid } = require('../binding/errors.js');
const { yieldToEventLoop } = require('../binding/event-loop.js');
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
const { ownCopy } = require('../binding/own-properties.js');
const { pathText, validateChroniclePath } = require('../binding/path.js');
const { openPort, request, throwIfAborted, unwrap } = require('../binding/port.js');
const { recordTexts } = require('../event/text.js');
const { BadLines } = require('./bad-lines.js');
const { whereOf } = require('./select.js');

const DEFAULT_TAIL_RECORDS = 10;

// A count beyond any file; it fits 32 bits.
const MAX_TAIL_RECORDS = 2 ** 32 - 1;

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
async function tailChronicle(path, n = DEFAULT_TAIL_RECORDS, options) {
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
  const lines = needsLineNumbers(known.onBadLine);
  return readAll(name, { ...known, tail: Math.min(n, MAX_TAIL_RECORDS), lines });
}

/**
 * @param {string} path
 * @param {unknown} [where]
 * @param {unknown} [options]
 * @returns {Promise<any[]>}
 */
async function queryChronicle(path, where, options) {
  const known = readOptions(options, QUERY);
  const lines = needsLineNumbers(known.onBadLine);
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
  const lines = needsLineNumbers(known.onBadLine);
  let total = 0;
  await readPages(
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
function needsLineNumbers(policy) {
  return policy !== undefined && policy !== 'skip';
}

/**
 * @param {string} path
 * @param {Record<string, any>} options
 */
async function readAll(path, options) {
  /** @type {any[]} */
  const records = [];
  const { positions } = ownCopy(options);
  await readPages(path, options, (events, { places }) => {
    for (let i = 0; i < events.length; i += 1) {
      records.push(positions ? positioned(events[i], places, i) : events[i]);
    }
  });
  return records;
}

/**
 * What the binding tells of a page besides its records: how many they are, and if that was asked
 * seq, offset, length and line of each.
 *
 * @typedef {{ count: number, places: number[] }} PageFacts
 */

/**
 * Calls `visit` with the records of each page, in file order.
 *
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 * @param {(events: any[], facts: PageFacts) => void} visit
 */
async function readPages(path, options, visit) {
  const { signal, onBadLine, ...rest } = ownCopy(options);
  const name = pathText(path);
  const badLines = new BadLines(name, onBadLine);
  const records = recordsOf(rest);
  const reader = new Reader(openPort(), name, toNative(rest), rest[MEMORY]);
  try {
    for (;;) {
      // Each page is a turn of the event loop of its own.
      const { outcome, text } = await request((_port, id) => reader.next(id), signal);
      const page = unwrap(outcome, { signal, path: name });
      badLines.visit(page.bad);
      if (text !== null) visit(records({ text, places: page.places }), page);
      if (page.done) break;
      await yieldToEventLoop();
    }
  } finally {
    reader.close();
  }
  badLines.end();
}

/**
 * How the records of a page are made of it: parsed, or as texts where the options say so.
 *
 * @param {Record<string | symbol, any>} options
 * @returns {(page: { text: string, places: number[] }) => any[]}
 */
function recordsOf({ [TEXTS]: texts }) {
  return texts ? ({ text, places }) => recordTexts(text, places) : ({ text }) => JSON.parse(text);
}

/**
 * A record of a page with its position.
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
  needsLineNumbers,
  positioned,
  queryChronicle,
  readAll,
  readChronicle,
  readPages,
  recordsOf,
  tailChronicle,
};
