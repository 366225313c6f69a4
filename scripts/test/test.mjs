// npm test [-- suite ...]: sets the clone up and runs the lanes of suites side by side. It prints
// one line for each suite, and the whole log of a suite that failed. The last line, alone, is the
// total; the exit code is 1 when anything failed.
import { rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { runCommand } from './command.mjs';
import { allowedSkips, totalLine, verdict } from './counts.mjs';
import { root, setup } from './setup.mjs';
import { chosen, logFolder, suites } from './suites.mjs';
import { outputOf } from './tools.mjs';

const { unknown, picked } = chosen(process.argv.slice(2));
if (unknown.length > 0) {
  console.error(`unknown suite: ${unknown.join(', ')}`);
  console.error(`the suites are: ${suites.map((suite) => suite.name).join(' ')}`);
  process.exit(2);
}

const total = { passed: 0, failed: 0, skipped: 0 };
/** null where any skip is allowed. */
const allowed = process.env.CI === 'true' ? allowedSkips(join(root, '.ci', 'allowed-skips')) : null;
const environment = { ...process.env, NO_COLOR: '1', CARGO_TERM_COLOR: 'never' };
// The two contradict each other, and Node warns about that on stderr of every child.
delete environment.FORCE_COLOR;

/** The outcome of a suite, whatever kind it is; a missing component is an outcome too. */
async function outcomeOf(suite) {
  if (suite.unequal) {
    const names = suite.unequal();
    const output = names.map((name) => `${name} is not what npm run build:addon writes\n`).join('');
    return { code: names.length === 0 ? 0 : 1, output };
  }
  if (suite.needs && outputOf(suite.needs.command, suite.needs.args) === null) {
    return {
      code: 0,
      missing: true,
      output: `SKIPPED ${suite.name}: ${suite.needs.tool} not found\n`,
    };
  }
  if (suite.report) rmSync(suite.report, { force: true });
  return runCommand({
    command: suite.command,
    args: suite.args,
    cwd: root,
    env: environment,
    limitSeconds: suite.limit,
    log: join(logFolder, `${suite.name}.log`),
  });
}

function countsOf(suite, outcome) {
  if (outcome.missing) return { passed: 0, failed: 0, skipped: 1 };
  if (suite.unequal) {
    return { passed: outcome.code === 0 ? 1 : 0, failed: outcome.code === 0 ? 0 : 1, skipped: 0 };
  }
  try {
    return suite.count(outcome);
  } catch (error) {
    outcome.output += `\nthe report cannot be read: ${error.message}\n`;
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

const underWay = new Set();

/** Where the output is a terminal, its last line names the suites under way. */
function showUnderWay() {
  if (!process.stdout.isTTY) return;
  const names = [...underWay].join(', ');
  process.stdout.write(`\r\x1b[K${names}${names && ' ...'}`);
}

async function run(suite) {
  underWay.add(suite.name);
  showUnderWay();
  const started = Date.now();
  const outcome = await outcomeOf(suite);
  const result = verdict(suite.name, outcome, countsOf(suite, outcome), allowed);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  underWay.delete(suite.name);
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  const failed = result.reasons.length > 0;
  const word = failed ? 'FAILED' : result.passed > 0 ? 'ok' : 'skipped';
  console.log(`${suite.name.padEnd(16)}${word.padEnd(8)}${totalLine(result)} (${seconds} s)`);
  for (const skip of result.skips) console.log(`SKIPPED ${skip}`);
  if (failed) {
    console.log(
      `${'-'.repeat(20)} ${suite.name}: ${suite.command ?? ''} ${(suite.args ?? []).join(' ')}`,
    );
    console.log(outcome.output.trimEnd());
    for (const reason of result.reasons) console.log(`${suite.name}: ${reason}`);
    console.log('-'.repeat(20));
  }
  showUnderWay();
  for (const key of Object.keys(total)) total[key] += result[key];
}

async function runLane(lane) {
  for (const suite of picked) if (suite.lane === lane) await run(suite);
}

try {
  if (setup()) {
    const lanes = new Set(picked.map((suite) => suite.lane));
    for (const { reason } of await Promise.allSettled([...lanes].map(runLane))) {
      if (reason) throw reason;
    }
    console.log(`logs: ${relative(process.cwd(), logFolder)}`);
  } else {
    total.failed = 1;
  }
} catch (error) {
  // Whatever happens, the last line is the total.
  console.error(error);
  total.failed += 1;
}
console.log(totalLine(total));
process.exitCode = total.failed === 0 ? 0 : 1;
