// Reads how many tests passed, failed and were skipped out of what a test runner leaves behind.
// Every function takes the outcome of a command (and a report) and returns { passed, failed,
// skipped }.
import { existsSync, readFileSync } from 'node:fs';

const ansi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g');

/** A check has no tests of its own: it is one. */
export function check({ code }) {
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

/** The result line of each binary that `cargo test` ran, doc tests included. */
export function cargo({ output }) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const line = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm;
  for (const [, passed, failed, ignored] of output.matchAll(line)) {
    sum.passed += Number(passed);
    sum.failed += Number(failed);
    sum.skipped += Number(ignored);
  }
  return sum;
}

/** The JSON report that vitest and jest share. */
export function jsonReport(file) {
  return () => {
    if (!existsSync(file)) return { passed: 0, failed: 0, skipped: 0 };
    const report = JSON.parse(readFileSync(file, 'utf8'));
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests,
      skipped: report.numPendingTests + (report.numTodoTests || 0),
    };
  };
}

/** Our own scripts: `ok - name`, `not ok - name`, and a last line that must say the same. */
export function lines({ output }) {
  const count = (pattern) => [...output.matchAll(pattern)].length;
  const sum = {
    passed: count(/^ok - /gm),
    failed: count(/^not ok - /gm),
    skipped: skipLines(output).length,
  };
  const last = output.trimEnd().split('\n').pop();
  return last === totalLine(sum) ? sum : { ...sum, failed: sum.failed + 1 };
}

/** What follows `SKIPPED ` on the lines that begin so, each once. */
export function skipLines(output) {
  const found = output.replace(ansi, '').matchAll(/^SKIPPED (\S[^\n]*?)\s*$/gm);
  return [...new Set([...found].map(([, text]) => text))];
}

/** The line that every script here ends with. */
export function totalLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/**
 * The verdict on a suite: { passed, failed, skipped, skips, reasons }. A command with a bad exit
 * has failed even if no test has. A suite without tests has failed, and so has a skip outside
 * `allowed` (null: any skip is allowed).
 */
export function verdict(name, outcome, counts, allowed) {
  const skips = skipLines(outcome.output);
  const reasons = [];
  let { failed } = counts;
  if (failed > 0) reasons.push(`${failed} failed`);
  if (outcome.timedOut) reasons.push('ran into its time limit');
  else if (outcome.code !== 0 && failed === 0) {
    reasons.push(
      `no test failed, but it ended with ${outcome.code ?? outcome.signal ?? 'nothing'}`,
    );
  }
  if (reasons.length > 0 && failed === 0) failed = 1;
  if (counts.passed + counts.skipped + failed === 0) {
    reasons.push('it reported no tests');
    failed = 1;
  }
  if (counts.skipped > 0 && skips.length === 0) {
    skips.push(`${name}: ${counts.skipped} without a reason`);
  }
  for (const skip of skips) {
    if (allowed !== null && !allowed.has(skip)) {
      reasons.push(`a skip that .ci/allowed-skips does not list: ${skip}`);
      failed += 1;
    }
  }
  const skipped = Math.max(counts.skipped, skips.length);
  return { passed: counts.passed, failed, skipped, skips, reasons };
}

/** The skips of a list file: one a line, `#` begins a comment. */
export function allowedSkips(file) {
  const text = readFileSync(file, 'utf8');
  const entries = text.split('\n').map((line) => line.replace(/#.*/, '').trim());
  return new Set(entries.filter((entry) => entry !== ''));
}
