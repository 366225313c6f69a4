'use strict';

const { BadLines } = require('./bad-lines.js');
const { Reader } = require('../binding/native.js');
const { MEMORY, STREAM, readOptions, toNative } = require('../binding/options.js');
const { own } = require('../binding/own.js');
const { pathText } = require('../binding/path.js');
const { nextTurn, openPort, request, unwrap } = require('../binding/port.js');
const { tellsLines } = require('./read.js');
const { Records } = require('./records.js');
const { placeOf, whereOf } = require('./select.js');

/**
 * @param {string} path
 * @param {unknown} [options]
 * @returns {any}
 */
function streamChronicle(path, options) {
  return iterate(path, options, STREAM, readerOf);
}

/**
 * An iterator over what `open` gives. What is wrong with the arguments, its first step tells.
 *
 * @param {string} path
 * @param {unknown} options
 * @param {typeof STREAM} kinds
 * @param {(path: string, options: Record<string, any>) => import('./records.js').Source} open
 * @param {{ endsOnAbort?: boolean }} [more]
 */
function iterate(path, options, kinds, open, more) {
  /** @type {Record<string, any>} */
  let known = {};
  /** @type {() => import('./records.js').Source} */
  let opening;
  try {
    const { from, to, where, ...others } = readOptions(options, kinds);
    const rest = own(others);
    const places = { from: placeOf(from, 'from'), to: placeOf(to, 'to'), where: whereOf(where) };
    const name = pathText(path);
    // A reverse stream goes on at its end.
    const begins = /** @type {any} */ (rest.reverse ? places.to : places.from);
    const { onFile, onCaughtUp, ...selected } = rest;
    known = { ...rest, cursor: typeof begins === 'object' ? begins.cursor : undefined };
    // The path is resolved during the call: the current directory may change before the first step.
    const source = open(name, { ...selected, ...places, lines: tellsLines(rest.onBadLine) });
    opening = () => source;
  } catch (error) {
    opening = () => {
      throw error;
    };
  }
  return new Records(opening, { ...known, ...more });
}

/**
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 * @returns {import('./records.js').Source}
 */
function readerOf(path, options) {
  const { signal, onBadLine, ...rest } = own(options);
  const badLines = new BadLines(path, onBadLine);
  const asked = toNative({ ...rest, places: true });
  const reader = new Reader(openPort(), path, asked, rest[MEMORY]);
  let done = false;
  return {
    start: undefined,
    async next(begun) {
      if (done) return undefined;
      const { outcome, text } = await request((_port, id) => {
        begun(id);
        reader.next(id);
      }, signal);
      const slice = own(unwrap(outcome, { signal, path }));
      done = slice.done;
      badLines.meet(slice.bad);
      if (!done) await nextTurn();
      return { ...slice, text: text ?? '[]' };
    },
    async close() {
      badLines.end();
      await request((_port, id) => reader.close(id));
    },
  };
}

module.exports = { iterate, streamChronicle };
