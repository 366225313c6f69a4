'use strict';

const { yieldToEventLoop } = require('../binding/event-loop.js');
const { Verifier } = require('../binding/native.js');
const { MEMORY, VERIFY, readOptions, toNative } = require('../binding/options.js');
const { pathText } = require('../binding/path.js');
const { openPort, request, throwIfAborted, unwrap } = require('../binding/port.js');

/** @typedef {import('../../index.d.ts').Finding} Finding */

/** The most findings in a result. */
const MAX_FINDINGS = 10_000;

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<import('../../index.d.ts').Verification>}
 */
async function verifyChronicle(path, options) {
  /** @type {Finding[]} */
  const findings = [];
  let findingsOmitted = 0;
  const counts = await verifyInPages(path, options, (found) => {
    const listed = found.slice(0, MAX_FINDINGS - findings.length);
    findingsOmitted += found.length - listed.length;
    findings.push(...listed);
  });
  return { ...counts, findings, ...(findingsOmitted > 0 && { findingsOmitted }) };
}

/**
 * {@link verifyChronicle} that passes the findings of each page to `take` and awaits it.
 *
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} options
 * @param {(findings: Finding[]) => void | Promise<void>} take
 * @returns {Promise<Omit<import('../../index.d.ts').Verification, 'findings'>>}
 */
async function verifyInPages(path, options, take) {
  const { signal, onProgress, ...rest } = readOptions(options, VERIFY);
  const name = pathText(path);
  throwIfAborted(signal);
  const verifier = new Verifier(openPort(), name, toNative(rest), rest[MEMORY]);
  try {
    for (;;) {
      const { outcome } = await request((_port, id) => verifier.next(id), signal);
      const { done, total, findings: found, ...counts } = unwrap(outcome, { signal });
      if (found.length > 0) await take(found);
      onProgress?.({ bytes: counts.bytes, total });
      if (done) return counts;
      await yieldToEventLoop();
      throwIfAborted(signal);
    }
  } finally {
    verifier.close();
  }
}

module.exports = { verifyChronicle, verifyInPages };
