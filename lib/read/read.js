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

// More records than any file has; the largest value that fits 32 bits.
const MAX_TAIL_RECORDS = 2 ** 32 - 1;

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<any[]>}
 */
async function readChronicle(path, options) {
  return readAll(path, readOptions(options, READ));
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
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
 * @param {import('../../index.d.ts').PathOrUrl} path
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
 * @param {import('../../index.d.ts').PathOrUrl} path
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
 * Whether the caller sees the line numbers of bad lines. If so, the reader must check every line
 * and count the lines before.
 *
 * @param {unknown} policy
 */
function needsLineNumbers(policy) {
  return policy !== undefined && policy !== 'skip';
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
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
 * Facts about a page: the number of its records and, on request, seq, offset, length and line of
 * each.
 *
 * @typedef {{ count: number, places: number[] }} PageFacts
 */

/**
 * Calls `visit` with the records of each page, in file order.
 *
 * @param {import('../../index.d.ts').PathOrUrl} path
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
      // One turn of the event loop for each page.
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
 * The function that makes the records of a page: parsed, or as texts where the options ask for
 * texts.
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
