'use strict';

const { existsSync, realpathSync, statSync } = require('node:fs');
const { basename, dirname, join, resolve } = require('node:path');
const { count, milliseconds, nonEmpty, oneOf, place, time } = require('./arguments.js');

/** @typedef {import('./arguments.js').Option} Option */

/** @type {Option} */
const TIMEOUT = {
  name: 'timeout',
  value: 'MS',
  read: milliseconds,
  help: 'how long to wait for the lock, in milliseconds; 0 tries once (default 2000)',
};

/** @type {Option} */
const ANY_EXTENSION = {
  name: 'any-extension',
  help: 'take a FILE that does not end in .sage',
};

/** @type {Option[]} */
const EVERYWHERE = [
  { name: 'json', help: 'print JSON, also on a terminal, and errors as JSON objects' },
  { name: 'help', short: 'h', help: 'print this help' },
];

/** @type {Option[]} */
const WHERE = [
  {
    name: 'type',
    value: 'TYPE',
    many: true,
    read: nonEmpty,
    help: 'of this type, or of one of several',
  },
  { name: 'agent', value: 'AGENT', read: nonEmpty, help: 'whose actor.agent is this' },
  { name: 'actor-id', value: 'ID', read: nonEmpty, help: 'whose actor.id is this' },
  {
    name: 'tag',
    value: 'TAG',
    many: true,
    read: nonEmpty,
    help: 'with this tag, or with all of several',
  },
  { name: 'plan-hash', value: 'HASH', read: nonEmpty, help: 'whose planHash is this' },
  { name: 'graph-commit', value: 'COMMIT', read: nonEmpty, help: 'whose graphCommit is this' },
  { name: 'since', value: 'TIME', read: time, help: 'at this time or later' },
  { name: 'until', value: 'TIME', read: time, help: 'at this time or earlier' },
  { name: 'event-id', value: 'ID', read: nonEmpty, help: 'whose eventId is this' },
  { name: 'prev-event-id', value: 'ID', read: nonEmpty, help: 'whose prevEventId is this' },
];

/** @type {Option[]} */
const RANGE = [
  { name: 'from', value: 'PLACE', read: place, help: 'the first place, included' },
  { name: 'to', value: 'PLACE', read: place, help: 'the last place, left out' },
];

/** @type {Option[]} */
const ORDER = [
  { name: 'reverse', help: 'the last first' },
  { name: 'limit', value: 'N', read: count, help: 'print N events at most' },
];

/** @type {Option} */
const POSITIONS = {
  name: 'positions',
  help: 'print where each event stands: { event, seq, offset, length }',
};

/** @type {Option} */
const ON_BAD_LINE = {
  name: 'on-bad-line',
  value: 'WHAT',
  read: oneOf('skip', 'throw'),
  help: 'skip lines that are no records, with a warning (default), or throw: fail at the first',
};

/** @type {Option} */
const CURSOR_FILE = {
  name: 'cursor-file',
  value: 'PATH',
  read: nonEmpty,
  help: 'go on where PATH says, and keep there how far it came',
};

const PLACES =
  'A PLACE is start, end, seq:N (record number, from 1), offset:N (byte, from 0), id:EVENTID, ' +
  'time:TIME or cursor:CURSOR. A TIME is ISO 8601, or milliseconds since 1970.';

/**
 * The filter of the options of `WHERE`.
 *
 * @param {Record<string, any>} options
 */
function whereOf(options) {
  const { agent, 'actor-id': id, type, tag } = options;
  /** @type {Record<string, any>} */
  const where = {
    type,
    actor: agent === undefined && id === undefined ? undefined : { agent, id },
    tags: tag,
    planHash: options['plan-hash'],
    graphCommit: options['graph-commit'],
    since: options.since,
    until: options.until,
    eventId: options['event-id'],
    prevEventId: options['prev-event-id'],
  };
  return defined(where);
}

/**
 * A copy without undefined members.
 *
 * @param {Record<string, any>} object
 * @returns {Record<string, any>}
 */
function defined(object) {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/**
 * The path of a command that reads any file. `..` is resolved here, in the way of the system.
 *
 * @param {string} file
 */
function anyFile(file) {
  if (!existsSync(file)) {
    process.emitWarning(`${file} does not exist and counts as empty`, {
      type: 'ChronicleWarning',
      code: 'CHRONICLE_NO_FILE',
    });
  }
  return anyPath(file);
}

/**
 * @param {string} a
 * @param {string} b
 */
function isSameFile(a, b) {
  const [one, other] = [a, b].map((path) =>
    statSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  return one !== undefined && one.dev === other?.dev && one.ino === other?.ino;
}

/** @param {string} file */
function anyPath(file) {
  if (!file.split(/[\\/]/).includes('..')) return file;
  const folder = dirname(file);
  return existsSync(folder) ? join(realpathSync(folder), basename(file)) : resolve(file);
}

module.exports = {
  ANY_EXTENSION,
  CURSOR_FILE,
  EVERYWHERE,
  ON_BAD_LINE,
  ORDER,
  PLACES,
  POSITIONS,
  RANGE,
  TIMEOUT,
  WHERE,
  anyFile,
  anyPath,
  defined,
  isSameFile,
  whereOf,
};
