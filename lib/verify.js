'use strict';

const { Verifier } = require('./native.js');
const { MEMORY, VERIFY, readOptions, toNative } = require('./options.js');
const { pathText } = require('./path.js');
const { nextTurn, openPort, request, throwIfAborted, unwrap } = require('./port.js');

/**
 * @param {string} path
 * @param {unknown} [options]
 * @returns {Promise<import('../index.d.ts').Verification>}
 */
async function verifyChronicle(path, options) {
  const { signal, onProgress, ...rest } = readOptions(options, VERIFY);
  const name = pathText(path);
  throwIfAborted(signal);
  /** @type {import('../index.d.ts').Finding[]} */
  const findings = [];
  const verifier = new Verifier(openPort(), name, toNative(rest), rest[MEMORY]);
  try {
    for (;;) {
      const { outcome } = await request((_port, id) => verifier.next(id), signal);
      const { done, total, findings: found, ...counts } = unwrap(outcome, { signal });
      for (const finding of found) findings.push(finding);
      onProgress?.({ bytes: counts.bytes, total });
      if (done) return { ...counts, findings };
      await nextTurn();
      throwIfAborted(signal);
    }
  } finally {
    verifier.close();
  }
}

module.exports = { verifyChronicle };
