'use strict';

// Characters that a terminal obeys or hides: controls, and marks of the direction of text.
const UNPRINTABLE =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

// The longest excerpt in a message.
const MAX_EXCERPT_CHARACTERS = 80;

/**
 * Foreign text, made harmless for a terminal.
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
 * The beginning of a foreign text, for a message. The text may be as long as an event.
 *
 * @param {unknown} text
 */
function excerpt(text) {
  const whole = String(text);
  // Cut between characters; a character has at most two code units.
  const characters = [...whole.slice(0, 2 * MAX_EXCERPT_CHARACTERS + 2)];
  const start = characters.slice(0, MAX_EXCERPT_CHARACTERS).join('');
  const shown = printable(start).replaceAll('\n', '\\u000a');
  return characters.length > MAX_EXCERPT_CHARACTERS ? `${shown}…` : shown;
}

module.exports = { excerpt, printable };
