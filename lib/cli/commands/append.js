'use strict';

const { fstatSync } = require('node:fs');
const { appendTexts } = require('../../append/append.js');
const { ChronicleError, appendLines, isChronicleError } = require('../../index.js');
const { UsageError, checkPath, nonEmpty, oneOf } = require('../arguments.js');
const { LineSplitter, isBlank } = require('../lines.js');
const { ANY_EXTENSION, TIMEOUT, defined } = require('../options.js');
const { BrokenPipe, writeToStderr } = require('../output.js');
const { counted } = require('../text.js');

/**
 * @typedef {import('../arguments.js').Command} Command
 * @typedef {import('../output.js').Output} Output
 * @typedef {import('../lines.js').Line} Line
 */

// Limits of a batch: many events share a sync, and memory stays bounded.
const MAX_BATCH_EVENTS = 4096;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

// The addon's limit of pending bytes.
const MAX_TOGETHER_BYTES = 256 * 1024 * 1024;

/** @type {Command} */
const append = {
  name: 'append',
  summary: 'append events, durably and each once',
  words: 'FILE [EVENT_JSON]',
  count: [1, 2],
  more: [
    'Without EVENT_JSON events are read from the standard input, one JSON object a line (NDJSON), and ' +
      'appended in order as they come. At the first line that cannot be appended it stops: the events ' +
      'before it are in the log, those after it are not, and the line is told. Running the same again ' +
      'appends only what is missing. With --together it is all or none.',
    'An event is stored as its text says, with all its digits; a key that an object has twice is refused. ' +
      'With --lines whole records are copied, byte for byte: no type, timestamp or actor is asked for, and no ' +
      'id is computed.',
    'With --json a receipt is printed for each event, once it is durable. Who stops reading the ' +
      'receipts does not stop the appending.',
  ],
  options: [
    TIMEOUT,
    {
      name: 'durability',
      value: 'HOW',
      read: oneOf('sync', 'os'),
      help: 'sync: survives a power cut (default); os: survives kill -9 only',
    },
    { name: 'no-id', help: 'give events without an eventId none' },
    {
      name: 'key',
      value: 'KEY',
      read: nonEmpty,
      help: 'the idempotencyKey of the one event',
    },
    { name: 'chain', help: 'set prevEventId to the last id, under the lock' },
    {
      name: 'expected-tail',
      value: 'ID',
      read: nonEmpty,
      help: 'append only after this event, none for an empty log; implies --together',
    },
    {
      name: 'on-id-reuse',
      value: 'WHAT',
      read: oneOf('accept', 'reject'),
      help: 'when the id is that of another content: accept (default) or reject',
    },
    {
      name: 'lines',
      help: 'copy the records on the standard input as they are; a record without id or key each time',
    },
    { name: 'together', help: 'append all events in one batch (256 MiB at most), or none' },
    ANY_EXTENSION,
  ],
  examples: [
    [
      `chronicle append agent.sage '{"type":"NOTE","timestamp":"2026-01-02T03:04:05Z","actor":{"agent":"me","id":"1"}}'`,
      'one event',
    ],
    ['chronicle append agent.sage < events.ndjson', 'many'],
    ['chronicle read old.sage | chronicle append --lines new.sage', 'a copy, byte for byte'],
  ],
  async run({ words, options }, output) {
    const [path = '', text] = words;
    checkPath(path, 'append', options['any-extension']);
    if (options.lines) checkLines(options, text);
    const together = options.together === true || 'expected-tail' in options || 'key' in options;
    const append = options.lines ? appendWhole : appendTexts;
    const batches = new Batches(
      (lines) => append(path, lines, appendOptions(options)),
      { path, together },
      (receipts) => (options.json ? printReceipts(receipts, output) : undefined),
    );
    try {
      if (text === undefined) await appendInput(batches);
      else await appendWord(batches, text);
    } finally {
      if (process.stderr.isTTY && !options.json) writeToStderr(batches.summary());
    }
    return 0;
  },
};

/** @param {Record<string, any>} options */
function appendOptions(options) {
  const tail = options['expected-tail'];
  return defined({
    lockTimeoutMs: options.timeout,
    durability: options.durability,
    computeId: options['no-id'] ? false : undefined,
    idempotencyKey: options.key,
    chain: options.chain,
    expectedTail: tail === 'none' ? null : tail,
    onIdReuse: options['on-id-reuse'],
    anyExtension: options['any-extension'],
  });
}

/**
 * @param {Record<string, any>} options
 * @param {string | undefined} text
 */
function checkLines(options, text) {
  if (text !== undefined) throw new UsageError('--lines reads the standard input', 'append');
  const wrong = ['no-id', 'key', 'chain'].find((name) => name in options);
  if (wrong !== undefined) throw new UsageError(`--lines goes without --${wrong}`, 'append');
}

/**
 * @param {string} path
 * @param {Buffer[]} lines
 * @param {Record<string, any>} options
 */
function appendWhole(path, lines, options) {
  const newline = Buffer.from('\n');
  return appendLines(path, Buffer.concat(lines.flatMap((line) => [line, newline])), options);
}

/**
 * @param {Batches} batches
 * @param {string} text
 */
async function appendWord(batches, text) {
  if (!text.isWellFormed()) {
    throw new ChronicleError('EVALIDATION', 'EVENT_JSON has a lone surrogate: write it as \\udXXX');
  }
  // A carriage return is JSON white space, too, and ends no line.
  const bytes = Buffer.from(text.replaceAll('\n', '\r'));
  if (isBlank(bytes)) throw new ChronicleError('EVALIDATION', 'EVENT_JSON is empty');
  batches.add({ bytes, line: 0 });
  await batches.end();
}

/** @param {Batches} batches */
async function appendInput(batches) {
  checkInput();
  if (process.stdin.isTTY) writeToStderr('one JSON object a line; end with Ctrl-D');
  const lines = new LineSplitter();
  // A producer may keep its end of the pipe open forever.
  batches.onFailure = () => process.stdin.destroy();
  try {
    for await (const chunk of process.stdin) {
      for (const line of lines.take(chunk)) batches.add(line);
      batches.start();
      await batches.waitForRoom();
    }
    for (const line of lines.end()) batches.add(line);
  } catch (error) {
    // Events before the bad line are appended, unless the input is one batch.
    if (!batches.together || batches.failure) await batches.end();
    throw error;
  }
  await batches.end();
}

/** Refuses kinds of input that Node.js reads as empty. */
function checkInput() {
  let input;
  try {
    input = fstatSync(0);
  } catch {
    // Windows has no status for some kinds of input. A bad one fails when it is read.
    return;
  }
  const kind = input.isDirectory() ? 'folder' : input.isBlockDevice() ? 'block device' : undefined;
  if (kind === undefined) return;
  throw new ChronicleError('EVALIDATION', `the standard input is a ${kind}, not a file or a pipe`);
}

/**
 * @param {object[]} receipts
 * @param {Output} output
 */
async function printReceipts(receipts, output) {
  try {
    for (const receipt of receipts) await output.line(JSON.stringify(receipt));
  } catch (thrown) {
    if (thrown !== BrokenPipe) throw thrown;
  }
}

/** A queue of events: one batch is appended while the next one is gathered. */
class Batches {
  /**
   * @param {(lines: Buffer[]) => Promise<import('../../../index.d.ts').Receipt[]>} write
   * @param {{ path: string, together: boolean }} how `together`: all events in one batch
   * @param {(receipts: import('../../../index.d.ts').Receipt[]) => Promise<void> | undefined}
   *   onReceipts
   */
  constructor(write, { path, together }, onReceipts) {
    this.write = write;
    this.path = path;
    this.together = together;
    this.ended = false;
    this.onReceipts = onReceipts;
    /** @type {Line[]} */
    this.gathered = [];
    this.bytes = 0;
    /** @type {Promise<void> | undefined} */
    this.current = undefined;
    /** @type {unknown} */
    this.failure = undefined;
    this.onFailure = () => {};
    this.appended = 0;
    this.duplicates = 0;
  }

  /** @param {Line} line */
  add(line) {
    this.gathered.push(line);
    this.bytes += line.bytes.length;
    if (this.together && this.bytes > MAX_TOGETHER_BYTES) {
      const message = 'the input is larger than the 256 MiB that may be appended together';
      throw new ChronicleError('EVALIDATION', message, { path: this.path, written: 'no' });
    }
  }

  /** Appends the gathered events, unless a batch is pending: then they follow it. */
  start() {
    if (this.together && !this.ended) return;
    if (this.current || this.failure || this.gathered.length === 0) return;
    this.current = this.next();
  }

  /** Resolves when more events may be gathered. */
  async waitForRoom() {
    const full = () => this.gathered.length >= MAX_BATCH_EVENTS || this.bytes >= MAX_BATCH_BYTES;
    while (this.current && full()) await this.current;
    if (this.failure) throw this.failure;
  }

  /** Resolves when all added events are in the log. */
  async end() {
    this.ended = true;
    for (this.start(); this.current;) await this.current;
    if (this.failure) throw this.failure;
  }

  async next() {
    const batch = this.gathered;
    this.gathered = [];
    this.bytes = 0;
    try {
      await this.append(batch);
    } catch (error) {
      this.failure = error;
      this.onFailure();
    }
    this.current = undefined;
    this.start();
  }

  /** @param {Line[]} batch */
  async append(batch) {
    try {
      await this.appendAll(batch);
    } catch (thrown) {
      if (!isChronicleError(thrown)) throw thrown;
      const { index = 0 } = thrown;
      // A refused event refuses its batch. The events before it are appended alone.
      if (index > 0 && !this.together) await this.appendAll(batch.slice(0, index));
      throw withLine(thrown, batch[index]?.line ?? 0);
    }
  }

  /** @param {Line[]} batch */
  async appendAll(batch) {
    const receipts = await this.write(batch.map(({ bytes }) => bytes));
    this.appended += receipts.length;
    this.duplicates += receipts.filter(({ duplicate }) => duplicate).length;
    await this.onReceipts(receipts);
  }

  summary() {
    const { appended, duplicates, path } = this;
    const there = duplicates === 0 ? '' : ` (${duplicates} of them there already)`;
    return `${counted(appended, 'event')} in ${path}${there}`;
  }
}

/**
 * A copy of an error with the line number of the input.
 *
 * @param {import('../../../index.d.ts').ChronicleError} error
 * @param {number} line
 */
function withLine(error, line) {
  if (line === 0) return error;
  const { code, message, index: _, cause, ...details } = error;
  return new ChronicleError(code, `line ${line}: ${message}`, { ...details, cause, line });
}

module.exports = { append };
