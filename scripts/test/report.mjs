// How the scripts here report: `ok - name`, `not ok - name` and why, and a last line with the
// total.
import { totalLine } from './counts.mjs';

const sum = { passed: 0, failed: 0, skipped: 0 };

/**
 * Runs one step under the name of its condition. A step that throws has failed; the next one still
 * runs.
 */
export async function holds(name, step) {
  try {
    await step();
    sum.passed += 1;
    console.log(`ok - ${name}`);
  } catch (error) {
    sum.failed += 1;
    console.log(`not ok - ${name}`);
    console.log(String(error.stack || error).replace(/^/gm, '  '));
  }
}

/** Leaves out what cannot run here, and says why. */
export function skip(text) {
  sum.skipped += 1;
  console.log(`SKIPPED ${text}`);
}

/** Prints the total and sets the exit code. */
export function finish() {
  console.log(totalLine(sum));
  process.exitCode = sum.failed === 0 ? 0 : 1;
}
