'use strict';

const { EVERYWHERE } = require('../options.js');
const { append } = require('./append.js');
const { analyze, repair, stats, verify } = require('./check.js');
const { exportCommand } = require('./export.js');
const { lock } = require('./lock.js');
const { count, query, read, tail } = require('./read.js');

/** @typedef {import('../arguments.js').Command} Command */

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
