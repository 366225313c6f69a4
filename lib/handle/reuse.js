'use strict';

const { canonicalForms } = require('../binding/native.js');
const { ON_ID_REUSED } = require('../binding/options.js');
const { unwrap } = require('../binding/port.js');
const { isStamped } = require('./clock.js');

/**
 * The options for the append of an event that may have the time of a clock. The same event again,
 * with an id and no timestamp, has another time. That is no other content, and no warning.
 *
 * @param {object} event
 * @param {(options: object) => AsyncIterable<any>} stream of the chronicle
 */
function reuseOptions(event, stream) {
  if (!isStamped(event)) return {};
  return {
    /** @param {import('../../index.d.ts').Receipt} receipt @param {() => void} warn */
    async [ON_ID_REUSED]({ offset }, warn) {
      if (!(await isSameButTime(event, stream({ from: { offset }, limit: 1 })))) warn();
    },
  };
}

/**
 * Whether the first of the records is the event, apart from its timestamp.
 *
 * @param {object} event
 * @param {AsyncIterable<any>} records
 */
async function isSameButTime(event, records) {
  try {
    for await (const record of records) {
      const texts = [event, record].map((each) => JSON.stringify({ ...each, timestamp: null }));
      const [one, other] = unwrap(canonicalForms(texts.join('\n')));
      return one === other;
    }
  } catch {
    // The append has succeeded: a record that cannot be read is no reason to fail.
  }
  return false;
}

module.exports = { reuseOptions };
