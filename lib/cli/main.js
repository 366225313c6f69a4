'use strict';

const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { isChronicleError } = require('../index.js');
const { UsageError, parse } = require('./arguments.js');
const { commands } = require('./commands/index.js');
const { commandHelp, generalHelp } = require('./help.js');
const { BrokenPipe, Output, writeToStderr } = require('./output.js');
const { printable, style } = require('./text.js');

const GOOD = 0;
const FAILED = 1;
const USAGE = 2;
const LOCKED = 3;

/**
 * Runs the command of the arguments.
 *
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
async function main(args) {
  const json = wantsJson(args);
  showWarnings(json);
  // A failed write to the standard error cannot be reported.
  process.stderr.on('error', () => {});
  const output = new Output(process.stdout);
  try {
    checkBytes(args);
    const code = await dispatch(args, output);
    await output.end();
    return code;
  } catch (thrown) {
    // A closed output is success: its reader needs no more.
    return thrown === BrokenPipe ? GOOD : reportFailure(thrown, json);
  }
}

/**
 * @param {string[]} args
 * @param {Output} output
 * @returns {Promise<number>}
 */
async function dispatch(args, output) {
  const [name = '', ...rest] = args;
  if (name === '--version' || name === '-v') {
    await output.line(version());
    return GOOD;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const command = rest.find((word) => !word.startsWith('-'));
    await output.line(
      command === undefined ? generalHelp(commands) : commandHelp(commandNamed(command)),
    );
    return GOOD;
  }
  if (name === '') throw new UsageError('a command is missing');
  const command = commandNamed(name);
  const given = parse(command, rest);
  if (given.options.help) {
    await output.line(commandHelp(command));
    return GOOD;
  }
  return command.run(given, output);
}

function version() {
  const manifest = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8');
  return JSON.parse(manifest).version;
}

/** @param {string} name */
function commandNamed(name) {
  const command = commands.find((each) => each.name === name);
  if (command) return command;
  throw new UsageError(
    name.startsWith('-') ? `a command comes before ${name}` : `unknown command ${name}`,
  );
}

/**
 * Prints an error and returns its exit code.
 *
 * @param {unknown} thrown
 * @param {boolean} json
 */
function reportFailure(thrown, json) {
  if (thrown instanceof UsageError) {
    const { message, command } = thrown;
    const hint = `chronicle${command ? ` ${command}` : ''} --help`;
    if (json) writeToStderr(JSON.stringify({ error: { code: 'EUSAGE', message, hint } }));
    else writeToStderr(`chronicle: ${printable(message)}\nTry: ${hint}`);
    return USAGE;
  }
  const facts = factsOf(thrown);
  if (json) writeToStderr(JSON.stringify({ error: facts }));
  else
    writeToStderr(
      `${style(process.stderr, 'red', 'chronicle:')} ${facts.code} ${printable(facts.message)}`,
    );
  return isChronicleError(thrown, 'ELOCK_TIMEOUT') ? LOCKED : FAILED;
}

/**
 * The properties of an error as a plain object.
 *
 * @param {any} thrown
 */
function factsOf(thrown) {
  const { code = thrown?.name, message = String(thrown), cause, ...details } = thrown ?? {};
  const reason =
    typeof cause?.message === 'string' ? { code: cause.code, message: cause.message } : undefined;
  return { code: String(code), message: String(message), ...details, cause: reason };
}

/**
 * Refuses arguments that are not UTF-8: Node.js replaces such bytes by U+FFFD, which would name
 * another file.
 *
 * @param {string[]} args
 */
function checkBytes(args) {
  if (!args.some((arg) => arg.includes('\ufffd'))) return;
  let bytes;
  try {
    bytes = readFileSync('/proc/self/cmdline');
  } catch {
    // Without the bytes, the argument is taken as typed.
    return;
  }
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError('an argument is not UTF-8; rename a file that has such a name');
  }
}

/**
 * Whether `--json` is given. Asked before parsing: errors of parsing are printed as JSON, too.
 *
 * @param {string[]} args
 */
function wantsJson(args) {
  const end = args.indexOf('--');
  return (end === -1 ? args : args.slice(0, end)).includes('--json');
}

/**
 * Prints process warnings in the format of the command. Node.js would print the process id.
 *
 * @param {boolean} json
 */
function showWarnings(json) {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (warning);
    if (json) writeToStderr(JSON.stringify({ warning: { code, message } }));
    else
      writeToStderr(
        `${style(process.stderr, 'yellow', 'chronicle: warning:')} ${printable(message)}`,
      );
  });
}

module.exports = { main };
