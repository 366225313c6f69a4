'use strict';

const { BadLines } = require('./bad-lines.js');
const { invalid } = require('./errors.js');
const { Reader } = require('./native.js');
const { READ, readOptions, toNative } = require('./options.js');
const { pathText, validateChroniclePath } = require('./path.js');
const { openPort, request, throwIfAborted, unwrap } = require('./port.js');

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
  // Line numbers have to be counted from the beginning of the file: only for those who see them.
  const lines = known.onBadLine !== undefined && known.onBadLine !== 'skip';
  return readAll(name, { ...known, tail: Math.min(n, MOST_TAIL), lines });
}

/**
 * @param {string} path
 * @param {Record<string, any>} options
 */
async function readAll(path, options) {
  /** @type {any[]} */
  const records = [];
  await readSlices(path, options, (events, positions) => take(records, events, positions));
  return records;
}

/**
 * Calls `meet` with the records of each slice, in file order.
 *
 * @param {string} path
 * @param {Record<string, any>} options
 * @param {(events: any[], positions?: number[]) => void} meet
 */
async function readSlices(path, { signal, onBadLine, ...rest }, meet) {
  const name = pathText(path);
  const badLines = new BadLines(name, onBadLine);
  const reader = new Reader(openPort(), name, toNative(rest));
  try {
    for (;;) {
      // Each slice is a turn of the event loop of its own.
      const { outcome, text } = await request((_port, id) => reader.next(id), signal);
      const slice = unwrap(outcome, { signal, path: name });
      badLines.meet(slice.bad);
      if (text !== null) meet(JSON.parse(text), slice.positions);
      if (slice.done) break;
    }
  } finally {
    reader.close();
  }
  badLines.end();
}

/**
 * Adds the records of one slice, with their positions if these were asked for.
 *
 * @param {unknown[]} records
 * @param {unknown[]} events
 * @param {number[]} [positions] seq, offset and length of each
 */
function take(records, events, positions) {
  for (let i = 0; i < events.length; i += 1) {
    const event = events[i];
    if (positions === undefined) {
      records.push(event);
    } else {
      const [seq, offset, length] = positions.slice(3 * i, 3 * i + 3);
      records.push({ event, seq, offset, length });
    }
  }
}

module.exports = { readAll, readChronicle, readSlices, tailChronicle };
