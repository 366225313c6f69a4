// node scripts/prove/fuzz.mjs [SECONDS [TARGET ...]]: runs each fuzz target with AddressSanitizer,
// for SECONDS (default 20). Starts from the seeds in fuzz/seeds and the findings of earlier runs in
// fuzz/corpus. Prints executions and seconds; the last line is the total.
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../test/command.mjs';
import { totalLine } from '../test/counts.mjs';
import { root } from '../test/setup.mjs';
import { logFolder } from '../test/suites.mjs';
import { missingTools, outputOf } from '../test/tools.mjs';

const BUILD_LIMIT = 600;
/** What a target may take beyond its time: the seeds, and an input that is under way. */
const GRACE = 60;

const [given = '20', ...named] = process.argv.slice(2);
const seconds = Number(given);
const known = readdirSync(join(root, 'fuzz', 'fuzz_targets')).map((name) =>
  name.replace(/\.rs$/, ''),
);
const unknown = named.filter((name) => !known.includes(name));
if (!Number.isInteger(seconds) || seconds < 1 || unknown.length > 0) {
  console.error('usage: node scripts/prove/fuzz.mjs [SECONDS [TARGET ...]]');
  console.error(`the targets are: ${known.join(' ')}`);
  process.exit(2);
}

// The compiler is a stable one; only the sanitizer's flags are not.
const env = { ...process.env, RUSTC_BOOTSTRAP: '1', CARGO_TERM_COLOR: 'never' };

/** Fast, but with every check that a debug build has. */
const checked = ['--release', '--debug-assertions'];

function fuzz(limitSeconds, name, ...args) {
  const log = join(logFolder, `fuzz-${name}.log`);
  return runCommand({
    command: 'cargo',
    args: ['fuzz', ...args],
    cwd: root,
    env,
    limitSeconds,
    log,
  });
}

const total = { passed: 0, failed: 0, skipped: 0 };

function note(name, good, line, output) {
  total[good ? 'passed' : 'failed'] += 1;
  console.log(`${name.padEnd(12)}${good ? 'ok      ' : 'FAILED  '}${line}`);
  if (!good) console.log(output.trimEnd());
}

async function runTarget(name) {
  const corpus = join('fuzz', 'corpus', name);
  mkdirSync(join(root, corpus), { recursive: true });
  const started = Date.now();
  const outcome = await fuzz(
    seconds + GRACE,
    name,
    'run',
    ...checked,
    name,
    corpus,
    join('fuzz', 'seeds', name),
    '--',
    `-max_total_time=${seconds}`,
    '-max_len=4096',
    // The threads of the pool allocate between the two counts by which libFuzzer would suspect a
    // leak.
    '-detect_leaks=0',
    '-print_final_stats=1',
  );
  const executions = /stat::number_of_executed_units:\s*(\d+)/.exec(outcome.output)?.[1];
  const took = ((Date.now() - started) / 1000).toFixed(1);
  const good = outcome.code === 0 && Number(executions) > 0;
  note(name, good, `${executions ?? 'no'} executions in ${took} s`, outcome.output);
}

missingTools(root);
if (outputOf('cargo', ['fuzz', '--version']) === null) {
  console.log('SKIPPED fuzz: cargo-fuzz not found');
  total.skipped = 1;
} else {
  const built = await fuzz(BUILD_LIMIT, 'build', 'build', ...checked);
  if (built.code === 0) {
    for (const name of named.length > 0 ? named : known) await runTarget(name);
  } else {
    note('build', false, 'the targets cannot be built', built.output);
  }
}
console.log(totalLine(total));
process.exitCode = total.failed === 0 ? 0 : 1;
