'use strict';

const { yieldToEventLoop } = require('../binding/event-loop.js');
const { Reader } = require('../binding/native.js');
const { MEMORY, STREAM, readOptions, toNative } = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { pathText } = require('../binding/path.js');
const { openPort, request, unwrap } = require('../binding/port.js');
const { BadLines } = require('./bad-lines.js');
const { needsLineNumbers } = require('./read.js');
const { RecordIterator } = require('./record-iterator.js');
const { placeOf, whereOf } = require('./select.js');

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {any}
 */
function streamChronicle(path, options) {
  return iterate(path, options, STREAM, readerOf);
}

/**
 * An iterator over the source that `open` returns. Its first step rejects if an argument is bad.
 *
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} options
 * @param {typeof STREAM} kinds
 * @param {(path: string, options: Record<string, any>) => import('./record-iterator.js').Source}
 *   open
 * @param {{ endsOnAbort?: boolean }} [more]
 */
function iterate(path, options, kinds, open, more) {
  /** @type {Record<string, any>} */
  let known = {};
  /** @type {() => import('./record-iterator.js').Source} */
  let opening;
  try {
    const { from, to, where, ...others } = readOptions(options, kinds);
    const rest = ownCopy(others);
    const places = { from: placeOf(from, 'from'), to: placeOf(to, 'to'), where: whereOf(where) };
    const name = pathText(path);
    // A reverse stream starts at `to`.
    const begins = /** @type {any} */ (rest.reverse ? places.to : places.from);
    const { onFile, onCaughtUp, ...selected } = rest;
    known = { ...rest, cursor: typeof begins === 'object' ? begins.cursor : undefined };
    // Opened here, which resolves the path: the working folder may change before the first step.
    const source = open(name, { ...selected, ...places, lines: needsLineNumbers(rest.onBadLine) });
    opening = () => source;
  } catch (error) {
    opening = () => {
      throw error;
    };
  }
  return new RecordIterator(opening, { ...known, ...more });
}

/**
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 * @returns {import('./record-iterator.js').Source}
 */
function readerOf(path, options) {
  const { signal, onBadLine, ...rest } = ownCopy(options);
  const badLines = new BadLines(path, onBadLine);
  const nativeOptions = toNative({ ...rest, places: true });
  const reader = new Reader(openPort(), path, nativeOptions, rest[MEMORY]);
  let done = false;
  return {
    start: undefined,
    async next(started) {
      if (done) return undefined;
      const { outcome, text } = await request((_port, id) => {
        started(id);
        reader.next(id);
      }, signal);
      const page = ownCopy(unwrap(outcome, { signal, path }));
      done = page.done;
      badLines.visit(page.bad);
      if (!done) await yieldToEventLoop();
      return { ...page, text: text ?? '[]' };
    },
    async close() {
      badLines.end();
      await request((_port, id) => reader.close(id));
    },
  };
}

module.exports = { iterate, streamChronicle };
