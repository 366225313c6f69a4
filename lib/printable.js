'use strict';

// What a terminal would obey or hide: control characters, and those that turn the direction of text.
const UNPRINTABLE =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

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

module.exports = { printable };
