'use strict';

const { dirname, sep } = require('node:path');

/**
 * The call sites that are kept at one time.
 *
 * Keeping one takes 7 microseconds. A synced append alone takes 250 and more, which hides them. Of
 * many appends in flight each takes 8: with 64 in flight two sites add 3 %, and eight add 20 %. An
 * append with `durability: 'os'` takes 27 alone, so that it has no site.
 */
const MAX_KEPT = 2;

/** Frames of the package itself between a call and {@link keepCallSite}. */
const OWN_FRAMES = 8;

/** The folder of the package's code, as in the frames of a stack. */
const OWN_FOLDER = dirname(__dirname) + sep;

let kept = 0;

/**
 * The place of the running call, for an error that is made later. An error of a promise that nobody
 * awaits would show no frame of the caller. Pass the result to {@link dropCallSite} at the end.
 *
 * @param {string} [durability] of the append
 * @returns {{ stack?: unknown } | undefined} undefined where a site would cost too much, and where
 *   the program wants no stacks
 */
function keepCallSite(durability) {
  if (durability === 'os' || kept >= MAX_KEPT) return undefined;
  const limit = Error.stackTraceLimit;
  if (!(limit > 0)) return undefined;
  kept += 1;
  const site = {};
  // `Reflect.set` does not throw where a program has frozen `Error`.
  Reflect.set(Error, 'stackTraceLimit', limit + OWN_FRAMES);
  Error.captureStackTrace(site, keepCallSite);
  Reflect.set(Error, 'stackTraceLimit', limit);
  return site;
}

/** @param {object | undefined} site */
function dropCallSite(site) {
  if (site !== undefined) kept -= 1;
}

/**
 * The error with the frames of the call in its stack, instead of those of the package.
 *
 * @template {Error} E
 * @param {E} error
 * @param {{ stack?: unknown } | undefined} site
 * @returns {E}
 */
function atCallSite(error, site) {
  if (site === undefined) return error;
  // The text is made when it is read first, and begins with these two.
  Object.assign(site, { name: error.name, message: error.message });
  const { stack } = site;
  // A program may have set `Error.prepareStackTrace`, which returns anything.
  if (typeof stack !== 'string') return error;
  const lines = stack.split('\n').filter((line) => !isOwnFrame(line));
  const value = lines.join('\n');
  return Object.defineProperty(error, 'stack', { configurable: true, value, writable: true });
}

/** @param {string} line of a stack */
function isOwnFrame(line) {
  return line.startsWith('    at ') && line.includes(OWN_FOLDER);
}

module.exports = { atCallSite, dropCallSite, keepCallSite };
