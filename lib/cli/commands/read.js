'use strict';

const { TEXTS } = require('../../binding/options.js');
const {
  countEvents,
  followChronicle,
  queryChronicle,
  streamChronicle,
  tailChronicle,
} = require('../../index.js');
const { UsageError, count: wholeNumber } = require('../arguments.js');
const { CursorFile } = require('../cursor-file.js');
const {
  CURSOR_FILE,
  ON_BAD_LINE,
  ORDER,
  PLACES,
  POSITIONS,
  RANGE,
  WHERE,
  anyFile,
  defined,
  whereOf,
} = require('../options.js');
const { eventLine } = require('../text.js');

/**
 * @typedef {import('../arguments.js').Command} Command
 * @typedef {import('../arguments.js').Given} Given
 * @typedef {import('../output.js').Output} Output
 */

const LINES =
  'Events are printed as NDJSON, each as it stands in the log, digits and all. On a terminal, without ' +
  '--json, a line is time, type, actor and what else fits.';

const DEFAULT_TAIL_RECORDS = 10;

/** @type {Command} */
const read = {
  name: 'read',
  summary: 'print the events of a log',
  words: 'FILE',
  count: [1, 1],
  more: [LINES, PLACES],
  options: [...RANGE, ...ORDER, POSITIONS, ON_BAD_LINE, CURSOR_FILE],
  examples: [
    ['chronicle read agent.sage | jq .type', 'all events, through jq'],
    ['chronicle read agent.sage --from seq:100 --limit 20', 'twenty from the hundredth on'],
    ['chronicle read agent.sage --from time:2026-01-01', 'from the first event of that year on'],
    ['chronicle read agent.sage --cursor-file seen', 'what is new since the last time'],
  ],
  run: printRange,
};

/** @type {Command} */
const query = {
  name: 'query',
  summary: 'print the events that match',
  words: 'FILE',
  count: [1, 1],
  more: [
    'All conditions must hold. The filter runs in the addon: only what matches is parsed.',
    LINES,
    PLACES,
  ],
  options: [
    ...WHERE,
    ...RANGE,
    ...ORDER,
    { name: 'skip', value: 'N', read: wholeNumber, help: 'leave out the first N that match' },
    POSITIONS,
    ON_BAD_LINE,
  ],
  examples: [
    ['chronicle query agent.sage --type BUILD --type DEPLOY', 'builds and deployments'],
    ['chronicle query agent.sage --type BUILD --reverse --limit 1', 'the latest build'],
    ['chronicle query agent.sage --agent ci --since 2026-01-01', 'what ci did from then on'],
  ],
  run: printRange,
};

/** @type {Command} */
const tail = {
  name: 'tail',
  summary: 'print the last events, and with -f those that come',
  words: 'FILE',
  count: [1, 1],
  more: [
    'With --follow it goes on until it is interrupted (Ctrl-C, SIGTERM) or, at the next event, nobody ' +
      'reads its output any more; both are success. It outlives rotation, replacement and truncation.',
    LINES,
  ],
  options: [
    {
      name: 'lines',
      short: 'n',
      value: 'N',
      read: wholeNumber,
      help: `how many of the last events (default ${DEFAULT_TAIL_RECORDS})`,
    },
    { name: 'follow', short: 'f', help: 'then wait for more' },
    ...WHERE,
    POSITIONS,
    ON_BAD_LINE,
    { ...CURSOR_FILE, help: `${CURSOR_FILE.help}; with --follow` },
  ],
  examples: [
    ['chronicle tail agent.sage', 'the last ten'],
    ['chronicle tail -n 1 agent.sage --type DEPLOY', 'the latest deployment'],
    ['chronicle tail -f -n 0 agent.sage', 'only what comes from now on'],
  ],
  run: printTail,
};

/** @type {Command} */
const count = {
  name: 'count',
  summary: 'count the events that match',
  words: 'FILE',
  count: [1, 1],
  more: ['Without a condition all events are counted. With --json it prints {"count":N}.'],
  options: [...WHERE, ON_BAD_LINE],
  examples: [
    ['chronicle count agent.sage', 'all events'],
    ['chronicle count agent.sage --type BUILD --tag nightly', 'nightly builds'],
  ],
  async run({ words, options }, output) {
    const found = await countEvents(
      anyFile(String(words[0])),
      whereOf(options),
      baseOptions(options),
    );
    await output.line(options.json ? JSON.stringify({ count: found }) : String(found));
    return 0;
  },
};

/**
 * @param {Given} given
 * @param {Output} output
 */
async function printRange({ words, options }, output) {
  const { from, to, reverse, limit, skip = 0 } = options;
  const given = options['cursor-file'];
  const cursors = given && new CursorFile(given, String(words[0]), 'read');
  if (cursors && (from !== undefined || reverse)) {
    throw new UsageError('--cursor-file goes with neither --from nor --reverse', 'read');
  }
  const events = streamChronicle(anyFile(String(words[0])), {
    ...printOptions(options),
    ...defined({
      from: cursors?.place() ?? from,
      to,
      reverse,
      limit: limit === undefined ? undefined : limit + skip,
    }),
    where: whereOf(options),
  });
  const show = formatter(options, output);
  let left = skip;
  for await (const each of events) {
    if (left > 0) left -= 1;
    else await output.line(show(each));
  }
  await output.end();
  cursors?.save(events.cursor);
  return 0;
}

/**
 * @param {Given} given
 * @param {Output} output
 */
async function printTail({ words, options }, output) {
  const { follow, lines = DEFAULT_TAIL_RECORDS } = options;
  if (options['cursor-file'] && !follow) {
    throw new UsageError('--cursor-file goes with --follow', 'tail');
  }
  const path = anyFile(String(words[0]));
  if (follow) return printFollowed(path, options, output);
  const show = formatter(options, output);
  for (const each of await lastOf(path, lines, options)) await output.line(show(each));
  return 0;
}

/**
 * @param {string} path
 * @param {number} lines
 * @param {Record<string, any>} options
 * @returns {Promise<any[]>}
 */
async function lastOf(path, lines, options) {
  const where = whereOf(options);
  if (Object.keys(where).length === 0) {
    return tailChronicle(path, lines, printOptions(options));
  }
  const reading = { ...printOptions(options), reverse: true, limit: lines };
  return (await queryChronicle(path, where, reading)).reverse();
}

/**
 * @param {string} path
 * @param {Record<string, any>} options
 * @param {Output} output
 */
async function printFollowed(path, options, output) {
  const { lines = DEFAULT_TAIL_RECORDS } = options;
  const given = options['cursor-file'];
  const cursors = given && new CursorFile(given, path, 'tail');
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  // `once`: a second signal ends the process.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.once(signal, stop);
  output.signal.addEventListener('abort', stop);
  const events = followChronicle(path, {
    ...printOptions(options),
    from: cursors?.place() ?? (await firstOf(path, lines, options)),
    where: whereOf(options),
    signal: stopped.signal,
  });
  const show = formatter(options, output);
  const stopSaving = cursors?.saveRegularly(events, output);
  try {
    for await (const each of events) await output.line(show(each));
  } finally {
    stopSaving?.();
  }
  await output.end();
  cursors?.save(events.cursor);
  return 0;
}

/**
 * The place to start, so that the last events are printed and no later event is missed.
 *
 * @param {string} path
 * @param {number} lines
 * @param {Record<string, any>} options
 */
async function firstOf(path, lines, options) {
  if (lines === 0) return 'end';
  const [first] = await lastOf(path, lines, options);
  return first === undefined ? 'start' : { offset: first.offset };
}

/**
 * The function that formats one record.
 *
 * @param {Record<string, any>} options
 * @param {Output} output
 * @returns {(each: any) => string}
 */
function formatter({ json, positions }, { terminal, stream }) {
  if (json || !terminal) return positions ? positionedText : ({ event }) => event;
  return ({ event, seq, offset, length }) =>
    eventLine(JSON.parse(event), stream, positions ? `#${seq} @${offset}+${length}` : '');
}

/**
 * The text of a record with its position, as one JSON object.
 *
 * @param {{ event: string, seq: number, offset: number, length: number }} each
 */
function positionedText({ event, ...place }) {
  return `{"event":${event},${JSON.stringify(place).slice(1)}`;
}

/**
 * Options for texts of records with their positions.
 *
 * @param {Record<string, any>} options
 */
function printOptions(options) {
  return { ...baseOptions(options), positions: true, [TEXTS]: true };
}

/** @param {Record<string, any>} options */
function baseOptions(options) {
  return defined({ anyExtension: true, onBadLine: options['on-bad-line'] });
}

module.exports = { count, query, read, tail };
