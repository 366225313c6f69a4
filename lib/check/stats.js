'use strict';

const { stats } = require('../binding/native.js');
const { unwrap } = require('../binding/port.js');

/** @returns {import('../../types/stats.d.ts').ChronicleStats} */
function chronicleStats() {
  const { lockWait, ...counts } = unwrap(stats());
  // The last bucket has no bound, and JSON has no infinity.
  for (const bucket of lockWait.buckets) {
    if (!Object.hasOwn(bucket, 'leMs') || bucket.leMs === null) bucket.leMs = Infinity;
  }
  return { ...counts, lockWait };
}

module.exports = { chronicleStats };
