'use strict';

// What a terminal would obey or hide: control characters, and those that turn the direction of text.
const UNPRINTABLE =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

// Of a text in a message.
const MAX_EXCERPT_CHARACTERS = 80;

/**
 * Text of others, harmless on a terminal.
 *
 * @param {string} text
 */
function printable(text) {
  return text.replace(
    UNPRINTABLE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * The beginning of a text of others, for a message: it may be as long as an event.
 *
 * @param {unknown} text
 */
function excerpt(text) {
  const whole = String(text);
  // By characters: half of one would be no text. None has more than two code units.
  const characters = [...whole.slice(0, 2 * MAX_EXCERPT_CHARACTERS + 2)];
  const start = characters.slice(0, MAX_EXCERPT_CHARACTERS).join('');
  const shown = printable(start).replaceAll('\n', '\\u000a');
  return characters.length > MAX_EXCERPT_CHARACTERS ? `${shown}…` : shown;
}

module.exports = { excerpt, printable };
