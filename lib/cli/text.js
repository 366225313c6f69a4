'use strict';

const { printable } = require('../binding/printable.js');

/** @typedef {import('./output.js').Stream} Stream */

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };

/**
 * Whether a stream shows colours: a terminal, unless the environment forbids them.
 *
 * @param {Stream} stream
 */
function isColoured({ isTTY }) {
  const { NO_COLOR, TERM } = process.env;
  return isTTY === true && (NO_COLOR ?? '') === '' && TERM !== 'dumb';
}

/**
 * @param {Stream} stream
 * @param {keyof typeof CODES} name
 * @param {string} text
 */
function style(stream, name, text) {
  return isColoured(stream) ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text;
}

/**
 * A whole number of things: `1 record`, `12,000 records`.
 *
 * @param {number} count
 * @param {string} noun
 */
function counted(count, noun) {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * A size in readable units.
 *
 * @param {number} bytes
 */
function size(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let left = bytes;
  for (; left >= 1024 && unit < units.length - 1; unit += 1) left /= 1024;
  return unit === 0 ? counted(bytes, 'byte') : `${left.toFixed(1)} ${units[unit]}`;
}

/**
 * One event as one line of text: time, type, actor, and other fields up to the terminal's width.
 *
 * @param {any} event
 * @param {Stream} stream
 * @param {string} [place] the event's position, as text
 */
function eventLine(event, stream, place = '') {
  const { type, timestamp, actor, eventId: _, ...rest } = event;
  const actorText = isObject(actor) ? `${plain(actor.agent)}/${plain(actor.id)}` : plain(actor);
  const what = Object.entries(rest).map(([key, value]) => `${printable(key)}=${plain(value)}`);
  const parts = [
    { text: place, width: place === '' ? 0 : 24, colour: /** @type {const} */ ('dim') },
    { text: plain(timestamp), width: 24, colour: /** @type {const} */ ('dim') },
    { text: plain(type), width: 20, colour: /** @type {const} */ ('cyan') },
    { text: actorText, width: 16, colour: /** @type {const} */ ('bold') },
  ];
  let left = (stream.columns || 80) - 1;
  let line = '';
  for (const { text, width, colour } of parts.filter((part) => part.width > 0)) {
    const shown = truncated(text, left);
    line += style(stream, colour, shown) + ' '.repeat(Math.max(width - shown.length, 0)) + '  ';
    left -= Math.max(width, shown.length) + 2;
  }
  return (line + truncated(what.join(' '), left)).trimEnd();
}

/** @param {unknown} value */
function plain(value) {
  if (value === undefined) return '-';
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '-');
  return printable(text.replaceAll('\n', '\\n'));
}

/**
 * @param {string} text
 * @param {number} width
 */
function truncated(text, width) {
  if (text.length <= width) return text;
  return width < 1 ? '' : `${text.slice(0, width - 1)}…`;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

module.exports = { counted, eventLine, isColoured, isObject, printable, size, style };
