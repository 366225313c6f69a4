'use strict';

const { ChronicleError, appendEvents, isChronicleError } = require('./index.js');
const { checkPath, nonEmpty, oneOf } = require('./cli-arguments.js');
const { Lines } = require('./cli-lines.js');
const { ANY_EXTENSION, TIMEOUT, defined } = require('./cli-options.js');
const { BrokenPipe, say } = require('./cli-output.js');
const { counted } = require('./cli-text.js');

/**
 * @typedef {import('./cli-arguments.js').Command} Command
 * @typedef {import('./cli-output.js').Output} Output
 * @typedef {{ event: unknown, line: number }} Numbered an event and the line it came from
 */

// Of a batch: enough that a sync is shared by many, little enough that memory is bounded.
const MOST_EVENTS = 4096;
const MOST_BYTES = 4 * 1024 * 1024;

// Of what is appended together; the addon takes no more.
const MOST_TOGETHER = 256 * 1024 * 1024;

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
    { name: 'together', help: 'append all events in one batch (256 MiB at most), or none' },
    ANY_EXTENSION,
  ],
  examples: [
    [
      `chronicle append agent.sage '{"type":"NOTE","timestamp":"2026-01-02T03:04:05Z","actor":{"agent":"me","id":"1"}}'`,
      'one event',
    ],
    ['chronicle append agent.sage < events.ndjson', 'many'],
    ['chronicle read old.sage | chronicle append new.sage --json', 'a copy, with receipts'],
  ],
  async run({ words, options }, output) {
    const [path = '', text] = words;
    checkPath(path, 'append', options['any-extension']);
    const together = options.together === true || 'expected-tail' in options || 'key' in options;
    const batches = new Batches(path, appendOptions(options), together, (receipts) =>
      options.json ? tell(receipts, output) : undefined,
    );
    try {
      if (text === undefined) await appendInput(batches);
      else await appendWord(batches, text);
    } finally {
      if (process.stderr.isTTY && !options.json) say(batches.summary());
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
 * @param {Batches} batches
 * @param {string} text
 */
async function appendWord(batches, text) {
  batches.add(parsed(text, 'EVENT_JSON'), 0, text.length);
  await batches.end();
}

/** @param {Batches} batches */
async function appendInput(batches) {
  if (process.stdin.isTTY) say('one JSON object a line; end with Ctrl-D');
  const lines = new Lines();
  try {
    for await (const chunk of process.stdin) {
      for (const { text, line, length } of lines.take(chunk)) {
        batches.add(parsed(text, `line ${line}`, line), line, length);
      }
      batches.start();
      await batches.room();
    }
    for (const { text, line, length } of lines.end()) {
      batches.add(parsed(text, `line ${line}`, line), line, length);
    }
  } catch (error) {
    // What came before the bad line goes into the log, unless it is all or none.
    if (!batches.together) await batches.end();
    throw error;
  }
  await batches.end();
}

/**
 * @param {string} text
 * @param {string} place
 * @param {number} [line]
 */
function parsed(text, place, line) {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    const cause = /** @type {Error} */ (thrown);
    throw new ChronicleError('EVALIDATION', `${place}: no JSON: ${cause.message}`, { cause, line });
  }
}

/**
 * @param {object[]} receipts
 * @param {Output} output
 */
async function tell(receipts, output) {
  try {
    for (const receipt of receipts) await output.line(JSON.stringify(receipt));
  } catch (thrown) {
    if (thrown !== BrokenPipe) throw thrown;
  }
}

/** Events on their way: one batch is being appended while the next is gathered. */
class Batches {
  /**
   * @param {string} path
   * @param {Record<string, any>} options
   * @param {boolean} together
   * @param {(receipts: import('../index.d.ts').Receipt[]) => Promise<void> | undefined} meet
   */
  constructor(path, options, together, meet) {
    this.path = path;
    this.options = options;
    /** All or none, and so one batch. */
    this.together = together;
    this.ended = false;
    this.meet = meet;
    /** @type {Numbered[]} */
    this.gathered = [];
    this.bytes = 0;
    /** @type {Promise<void> | undefined} */
    this.underWay = undefined;
    /** @type {unknown} */
    this.failure = undefined;
    this.appended = 0;
    this.duplicates = 0;
  }

  /**
   * @param {unknown} event
   * @param {number} line
   * @param {number} length
   */
  add(event, line, length) {
    this.gathered.push({ event, line });
    this.bytes += length;
    if (this.together && this.bytes > MOST_TOGETHER) {
      const message = 'the input is larger than the 256 MiB that may be appended together';
      throw new ChronicleError('EVALIDATION', message, { path: this.path, written: 'no' });
    }
  }

  /** Appends what is gathered, unless a batch is under way: then it follows that. */
  start() {
    if (this.together && !this.ended) return;
    if (this.underWay || this.failure || this.gathered.length === 0) return;
    this.underWay = this.next();
  }

  /** Resolves when more may be gathered. */
  async room() {
    const full = () => this.gathered.length >= MOST_EVENTS || this.bytes >= MOST_BYTES;
    while (this.underWay && full()) await this.underWay;
    if (this.failure) throw this.failure;
  }

  /** Resolves when all that was added is in the log. */
  async end() {
    this.ended = true;
    for (this.start(); this.underWay;) await this.underWay;
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
    }
    this.underWay = undefined;
    this.start();
  }

  /** @param {Numbered[]} batch */
  async append(batch) {
    try {
      await this.appendAll(batch);
    } catch (thrown) {
      if (!isChronicleError(thrown)) throw thrown;
      const { index = 0 } = thrown;
      // One that is refused refuses its batch: those before it are appended without it.
      if (index > 0 && !this.together) await this.appendAll(batch.slice(0, index));
      throw withLine(thrown, batch[index]?.line ?? 0);
    }
  }

  /** @param {Numbered[]} batch */
  async appendAll(batch) {
    const events = batch.map(({ event }) => /** @type {any} */ (event));
    const receipts = await appendEvents(this.path, events, this.options);
    this.appended += receipts.length;
    this.duplicates += receipts.filter(({ duplicate }) => duplicate).length;
    await this.meet(receipts);
  }

  summary() {
    const { appended, duplicates, path } = this;
    const there = duplicates === 0 ? '' : ` (${duplicates} of them there already)`;
    return `${counted(appended, 'event')} in ${path}${there}`;
  }
}

/**
 * The same error, with the line of the input that it is about.
 *
 * @param {import('../index.d.ts').ChronicleError} error
 * @param {number} line
 */
function withLine(error, line) {
  if (line === 0) return error;
  const { code, message, index: _, cause, ...details } = error;
  return new ChronicleError(code, `line ${line}: ${message}`, { ...details, cause, line });
}

module.exports = { append };
