'use strict';

const { createWriteStream, statSync } = require('node:fs');
const { finished } = require('node:stream/promises');
const { TEXTS } = require('../../binding/options.js');
const { streamChronicle } = require('../../index.js');
const { UsageError, nonEmpty, oneOf } = require('../arguments.js');
const {
  ON_BAD_LINE,
  PLACES,
  RANGE,
  WHERE,
  anyFile,
  defined,
  isSameFile,
  whereOf,
} = require('../options.js');
const { OutputFile, descriptorOf } = require('../output-file.js');
const { Output, Progress } = require('../output.js');
const { isObject } = require('../text.js');

/**
 * @typedef {import('../arguments.js').Command} Command
 * @typedef {import('../../../index.d.ts').Positioned<any>} Positioned
 * @typedef {{ head: string, record: (each: Positioned, n: number) => string, foot: string }} Format
 */

const COLUMNS = ['seq', 'timestamp', 'type', 'actor.agent', 'actor.id', 'eventId', 'payload'];

// Fields that the default columns already show.
const SHOWN = new Set(['timestamp', 'type', 'actor', 'eventId']);

/** @type {Command} */
const exportCommand = {
  name: 'export',
  summary: 'write events as NDJSON, a JSON array or CSV',
  words: 'FILE',
  count: [1, 1],
  more: [
    'ndjson: one event a line, as it stands in the log. json: one array of the same. csv: RFC 4180 with a header line; a column is a ' +
      'field, one inside of another (actor.id), or seq, offset, length or payload, which is what is in none of ' +
      'the others. What is no string there is JSON. A text that a spreadsheet would take for a formula (it begins ' +
      'with = + - @, a tab or a carriage return and is no number) gets an apostrophe in front; ndjson and json have ' +
      `texts as they are. The columns are ${COLUMNS.join(', ')}, unless --columns says otherwise.`,
    'With --output the file appears under its name when it is whole; one that is there is replaced, and gives ' +
      'its mode and owner. A device or FIFO is written into; - is the standard output.',
    PLACES,
  ],
  options: [
    {
      name: 'format',
      value: 'FORMAT',
      read: oneOf('ndjson', 'json', 'csv'),
      help: 'ndjson (default), json or csv',
    },
    {
      name: 'columns',
      value: 'LIST',
      read: (text) => nonEmpty(text).split(','),
      help: 'the columns of csv, with commas between them',
    },
    {
      name: 'output',
      short: 'o',
      value: 'PATH',
      read: nonEmpty,
      help: 'write there, not to the standard output',
    },
    ...WHERE,
    ...RANGE,
    ON_BAD_LINE,
  ],
  examples: [
    ['chronicle export agent.sage --format csv --output agent.csv', 'a table'],
    [
      'chronicle export agent.sage --format csv --columns timestamp,status --type BUILD',
      'of builds',
    ],
    ['chronicle export agent.sage --format json --since 2026-01-01', 'an array'],
  ],
  async run({ words, options }, output) {
    const [given = ''] = words;
    const { format = 'ndjson', columns, output: named } = options;
    // The standard output may be a file, which must not be replaced.
    const isOutput = named === '-' || (named !== undefined && descriptorOf(named) === 1);
    const target = isOutput ? undefined : named;
    if (columns && format !== 'csv') {
      throw new UsageError('--columns goes with --format csv', 'export');
    }
    if (target !== undefined && isSameFile(given, target)) {
      throw new UsageError('--output must not be the log itself', 'export');
    }
    const path = anyFile(given);
    const events = streamChronicle(path, {
      ...defined({
        from: options.from,
        to: options.to,
        onBadLine: options['on-bad-line'],
      }),
      where: whereOf(options),
      positions: true,
      anyExtension: true,
      ...(format !== 'csv' && { [TEXTS]: true }),
    });
    const form = formats[/** @type {keyof typeof formats} */ (format)](columns);
    if (target === undefined) await write(events, form, output);
    else await writeFile(target, (file) => writeShown(path, events, form, file, options));
    return 0;
  },
};

/** @type {Record<'ndjson' | 'json' | 'csv', (columns?: string[]) => Format>} */
const formats = {
  ndjson: () => ({ head: '', record: ({ event }) => `${event}\n`, foot: '' }),
  json: () => ({
    head: '[',
    record: ({ event }, n) => `${n === 0 ? '\n' : ',\n'}${event}`,
    foot: '\n]\n',
  }),
  csv: (columns = COLUMNS) => {
    const shown = columns === COLUMNS ? SHOWN : new Set(columns.map(firstPart));
    const line = (/** @type {unknown[]} */ values) => `${values.map(cell).join(',')}\r\n`;
    return {
      head: line(columns),
      record: (each) => line(columns.map((column) => valueOf(each, column, shown))),
      foot: '',
    };
  },
};

/** @param {string} column */
function firstPart(column) {
  return column.split('.')[0] ?? column;
}

/**
 * @param {Positioned} each
 * @param {string} column
 * @param {Set<string>} shown fields that other columns show
 * @returns {unknown}
 */
function valueOf({ event, ...place }, column, shown) {
  if (column === 'payload') {
    return Object.fromEntries(Object.entries(event).filter(([key]) => !shown.has(key)));
  }
  if (Object.hasOwn(event, column)) return event[column];
  if (Object.hasOwn(place, column)) return place[/** @type {keyof typeof place} */ (column)];
  let value = event;
  for (const part of column.split('.')) {
    if (!isObject(value) || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return value;
}

// The beginning of a formula in a spreadsheet, unless the whole cell is a number.
const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^[+-]?\d+([.,]\d+)?$/;

/**
 * The text of a cell. A text with a lone surrogate, which UTF-8 cannot hold, becomes JSON. A text
 * that would be a formula gets an apostrophe, which marks text in a spreadsheet.
 *
 * @param {string} text
 */
function textCell(text) {
  if (!text.isWellFormed()) return JSON.stringify(text);
  return FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
}

/** @param {unknown} value */
function cell(value) {
  if (value === undefined || value === null) return '';
  const text = typeof value === 'string' ? textCell(value) : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * @param {AsyncIterable<Positioned>} events
 * @param {Format} format
 * @param {Output} output
 * @param {(each: Positioned) => void} [onEvent]
 */
async function write(events, { head, record, foot }, output, onEvent) {
  await output.text(head);
  let n = 0;
  for await (const each of events) {
    onEvent?.(each);
    await output.text(record(each, n));
    n += 1;
  }
  await output.text(foot);
  await output.end();
}

/**
 * @param {string} path
 * @param {AsyncIterable<Positioned>} events
 * @param {Format} format
 * @param {Output} file
 * @param {Record<string, any>} options
 */
async function writeShown(path, events, format, file, options) {
  const total = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const progress = new Progress('export', options.json);
  try {
    await write(events, format, file, ({ offset }) => progress.update(offset, total));
  } finally {
    progress.clear();
  }
}

/**
 * Writes to a path of the user.
 *
 * @param {string} path
 * @param {(file: Output) => Promise<void>} fill
 */
async function writeFile(path, fill) {
  const descriptor = descriptorOf(path);
  if (descriptor !== undefined) {
    return fillStream(createWriteStream(path, { fd: descriptor, autoClose: false }), fill);
  }
  /** @type {OutputFile | undefined} */
  let file;
  // Installed before the file exists: a signal must not leave a temporary file.
  const ends = onEarlyExit(() => file?.discard());
  try {
    file = new OutputFile(path);
    await fillStream(file.stream(), fill);
    file.commit();
  } catch (error) {
    file?.discard();
    throw error;
  } finally {
    ends();
  }
}

/**
 * @param {import('node:fs').WriteStream} stream
 * @param {(file: Output) => Promise<void>} fill
 */
async function fillStream(stream, fill) {
  await fill(new Output(stream));
  stream.end();
  await finished(stream);
}

/**
 * Acts if the process exits early or a signal ends it. The signal still ends the process.
 *
 * @param {() => void} act
 * @returns {() => void} removes the handlers
 */
function onEarlyExit(act) {
  const signals = /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGTERM']);
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    act();
    process.kill(process.pid, signal);
  };
  for (const signal of signals) process.once(signal, stop);
  process.once('exit', act);
  return () => {
    for (const signal of signals) process.off(signal, stop);
    process.off('exit', act);
  };
}

module.exports = { exportCommand };
