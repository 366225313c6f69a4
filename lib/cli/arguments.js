'use strict';

const { parseArgs } = require('node:util');
const { placesInTime } = require('../event/compare.js');
const { isChronicleError, validateChroniclePath } = require('../index.js');

/**
 * An option in the table of commands.
 *
 * @typedef {object} Option
 * @property {string} name
 * @property {string} help
 * @property {string} [value] the name of the value in the help; an option without it is a flag
 * @property {string} [short]
 * @property {boolean} [many] may be given more than once
 * @property {(text: string) => unknown} [read] makes the value, or throws the rule as a string
 *
 * @typedef {object} Given
 * @property {string[]} words the positional arguments
 * @property {string[]} rest the arguments behind `--`
 * @property {Record<string, any>} options by their names
 *
 * @typedef {object} Command
 * @property {string} name
 * @property {string} summary
 * @property {string} words the arguments, as the help shows them
 * @property {[least: number, most: number]} count of the arguments
 * @property {boolean} [rest] takes a command behind `--`
 * @property {string[]} [more] paragraphs of the help
 * @property {Option[]} options
 * @property {[line: string, what: string][]} examples
 * @property {(given: Given, output: import('./output.js').Output) => Promise<number>} run
 */

/** A mistake in the command line: printed with a hint, exit code 2. */
class UsageError extends Error {
  /**
   * @param {string} message
   * @param {string} [command]
   */
  constructor(message, command) {
    super(message);
    this.command = command;
  }
}

/**
 * @param {Command} command
 * @param {string[]} args
 * @returns {Given}
 */
function parse(command, args) {
  const end = args.indexOf('--');
  const before = end === -1 || !command.rest ? args : args.slice(0, end);
  const rest = end === -1 || !command.rest ? [] : args.slice(end + 1);
  const wrong = (/** @type {string} */ message) => new UsageError(message, command.name);
  let parsed;
  try {
    parsed = parseArgs({
      args: before,
      allowPositionals: true,
      options: Object.fromEntries(command.options.map(forParseArgs)),
    });
  } catch (thrown) {
    throw wrong(firstSentence(/** @type {Error} */ (thrown).message));
  }
  /** @type {Record<string, any>} */
  const options = {};
  for (const option of command.options) {
    const value = parsed.values[option.name];
    if (value === undefined) continue;
    options[option.name] = Array.isArray(value)
      ? value.map((each) => readValue(option, each, wrong))
      : readValue(option, value, wrong);
  }
  const words = parsed.positionals;
  if (!options.help) {
    const [least, most] = command.count;
    if (words.length < least) throw wrong(`${command.words.split(' ')[0]} is missing`);
    if (words.length > most) throw wrong(`unexpected argument ${words[most]}`);
    if (words.includes('')) throw wrong('an argument is empty');
    if (command.rest && rest.length === 0) throw wrong('-- COMMAND is missing');
  }
  return { words, rest, options };
}

/**
 * @param {Option} option
 * @returns {[string, { type: 'string' | 'boolean', short?: string, multiple?: boolean }]}
 */
function forParseArgs({ name, value, short, many }) {
  const type = value === undefined ? 'boolean' : 'string';
  return [name, { type, ...(short && { short }), ...(many && { multiple: true }) }];
}

/**
 * @param {Option} option
 * @param {string | boolean} given
 * @param {(message: string) => UsageError} wrong
 */
function readValue({ name, read }, given, wrong) {
  if (typeof given === 'boolean' || !read) return given;
  try {
    return read(given);
  } catch (must) {
    throw wrong(`--${name} must be ${must}`);
  }
}

/**
 * The first sentence of a message of `parseArgs`; the others are hints about its own interface.
 *
 * @param {string} message
 */
function firstSentence(message) {
  const [first = message] = message.split(/\. |\n/);
  return first.replace(/\.$/, '');
}

/**
 * Refuses a path that no chronicle may have, as a mistake in the command line.
 *
 * @param {string} path
 * @param {string} command
 * @param {boolean} [anyExtension]
 */
function checkPath(path, command, anyExtension = false) {
  try {
    validateChroniclePath(path, { anyExtension });
  } catch (thrown) {
    if (!isChronicleError(thrown)) throw thrown;
    const hint = anyExtension || path.endsWith('.sage') ? '' : ` (or give --any-extension)`;
    throw new UsageError(`${thrown.message}${hint}`, command);
  }
}

/** @param {string} text */
function milliseconds(text) {
  if (!/^\d+(\.\d+)?$/.test(text)) throw 'a number of milliseconds, 0 or more';
  return Number(text);
}

/** @param {string} text */
function count(text) {
  if (!/^\d{1,15}$/.test(text)) throw 'a whole number, 0 or more';
  return Number(text);
}

/** @param {string} text */
function nonEmpty(text) {
  if (text === '') throw 'a text that is not empty';
  return text;
}

// Seconds of the years 2001 to 2286. As milliseconds they are in early 1970, when no log was
// written.
const SECONDS = /^\d{10}$/;

/**
 * A time for the library: ISO 8601, or integer milliseconds since 1970.
 *
 * @param {string} text
 */
function time(text) {
  if (/^-?\d{5,15}$/.test(text)) {
    if (SECONDS.test(text)) {
      throw `in milliseconds since 1970; ${text} looks like seconds, which would be ${text}000`;
    }
    return Number(text);
  }
  if (placesInTime([text])[0] === null) {
    throw 'a time, as 2026-01-02T03:04:05Z or in milliseconds since 1970';
  }
  return text;
}

/**
 * A place in a log: a word, or a kind and a value.
 *
 * @param {string} text
 */
function place(text) {
  if (text === 'start' || text === 'end') return text;
  const colon = text.indexOf(':');
  const value = text.slice(colon + 1);
  switch (text.slice(0, Math.max(colon, 0))) {
    case 'seq':
      if (/^[1-9]\d{0,14}$/.test(value)) return { seq: Number(value) };
      break;
    case 'offset':
      if (/^\d{1,15}$/.test(value)) return { offset: Number(value) };
      break;
    case 'id':
      if (value !== '') return { eventId: value };
      break;
    case 'time':
      return { time: time(value) };
    case 'cursor':
      if (value !== '') return { cursor: value };
  }
  throw 'start, end, seq:N, offset:N, id:ID, time:TIME or cursor:CURSOR';
}

/** @param {string[]} words */
function oneOf(...words) {
  return (/** @type {string} */ text) => {
    if (!words.includes(text)) throw words.join(' or ');
    return text;
  };
}

module.exports = {
  UsageError,
  checkPath,
  count,
  milliseconds,
  nonEmpty,
  oneOf,
  parse,
  place,
  time,
};
