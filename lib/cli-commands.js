'use strict';

const { append } = require('./cli-append.js');
const { analyze, repair, stats, verify } = require('./cli-check.js');
const { exportCommand } = require('./cli-export.js');
const { lock } = require('./cli-lock.js');
const { EVERYWHERE } = require('./cli-options.js');
const { count, query, read, tail } = require('./cli-read.js');

/** @typedef {import('./cli-arguments.js').Command} Command */

/**
 * Every command, in the order of the help.
 *
 * @type {Command[]}
 */
const commands = [
  append,
  read,
  tail,
  query,
  count,
  verify,
  analyze,
  repair,
  stats,
  lock,
  exportCommand,
].map((command) => ({ ...command, options: [...command.options, ...EVERYWHERE] }));

module.exports = { commands };
