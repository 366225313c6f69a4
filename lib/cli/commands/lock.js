'use strict';

const { spawn } = require('node:child_process');
const { constants } = require('node:os');
const { isatty } = require('node:tty');
const { descriptorsOf } = require('../../append/lock.js');
const { lockChronicles } = require('../../index.js');
const { TIMEOUT, anyPath, defined } = require('../options.js');
const { writeToStderr } = require('../output.js');

/** @typedef {import('../arguments.js').Command} Command */

/** @type {Command} */
const lock = {
  name: 'lock',
  summary: 'hold the locks of files while a command runs',
  words: 'FILE... -- COMMAND [ARGUMENT...]',
  count: [1, Infinity],
  rest: true,
  more: [
    'The locks of all FILEs are taken, or none; a file that is missing is made. The command inherits ' +
      'them: they last while chronicle or the command lives. Appends of others wait meanwhile, and so do those of ' +
      'the command itself.',
    'The exit code is that of the command, 128 and the number of the signal that ended it, 127 where it ' +
      'is not found, 126 where it cannot be run, and 3 where the locks were not free in time.',
  ],
  options: [{ name: 'shared', help: 'share the locks with others that share them' }, TIMEOUT],
  examples: [
    ['chronicle lock notes.sage -- vim notes.sage', 'nobody appends while it is edited'],
    [
      'chronicle lock --timeout 0 a.sage b.sage -- tar cf logs.tar a.sage b.sage',
      'or give up at once',
    ],
  ],
  async run({ words, rest, options }) {
    const session = await lockChronicles(
      words.map(anyPath),
      defined({ lockTimeoutMs: options.timeout, mode: options.shared ? 'shared' : undefined }),
    );
    try {
      return await run(rest, descriptorsOf(session), options.json);
    } finally {
      await session.release();
    }
  },
};

/**
 * Runs the command with the locked descriptors and returns its exit code.
 *
 * @param {string[]} command
 * @param {number[]} descriptors
 * @param {boolean} [json]
 * @returns {Promise<number>}
 */
function run([command = '', ...args], descriptors, json) {
  // A terminal sends the signals of its keys to the child, too.
  const fromKeys = isatty(0);
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child;
  // Installed before the command runs: its first output may trigger a signal.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGQUIT'])) {
    process.on(signal, () => void (fromKeys || child?.kill(signal)));
  }
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => void child?.kill(signal));
  }
  return new Promise((resolve) => {
    child = spawn(command, args, {
      stdio: ['inherit', 'inherit', 'inherit', ...descriptors],
    });
    child.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const message = `cannot run ${command}: ${error.message}`;
      writeToStderr(
        json ? JSON.stringify({ error: { code: error.code, message } }) : `chronicle: ${message}`,
      );
      resolve(error.code === 'ENOENT' ? 127 : 126);
    });
    child.on('exit', (code, signal) => {
      resolve(code ?? 128 + constants.signals[/** @type {NodeJS.Signals} */ (signal)]);
    });
  });
}

module.exports = { lock };
