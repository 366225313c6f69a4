// Ratios within one run: what an append costs against a C program, and against the size of the log.
//
// Usage: node bench/append.mjs [FOLDER]   (the file system to measure on; default: the temporary folder)
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { append, appendEvents, tailChronicle } from '../index.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'chronicle-bench-'));
const rounds = 15;
const perRound = 500;
const warmUp = 50;
let files = 0;
let events = 0;

const fresh = () => join(folder, `log${(files += 1)}.sage`);

function event() {
  return {
    type: 'NOTE_TAKEN',
    timestamp: '2026-01-02T03:04:05.678Z',
    actor: { agent: 'bench', id: 'one' },
    text: 'A sentence about as long as what an agent has to say in one step of its work.',
    number: String((events += 1)).padStart(9, '0'),
  };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function summary(values) {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** Microseconds of each of `count` calls, one after the other. */
async function timed(count, call) {
  const took = [];
  for (let n = 0; n < count; n += 1) {
    const start = process.hrtime.bigint();
    await call();
    took.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  return took;
}

async function timedAppends(path) {
  await timed(warmUp, () => append(path, event()));
  return median(await timed(perRound, () => append(path, event())));
}

/**
 * Measures the contestants in turn, each round in the other order, so that what the machine does meanwhile
 * hits all of them. A ratio is that of one round.
 */
async function inTurn(contestants) {
  const names = Object.keys(contestants);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 ? [...names].reverse() : names;
    for (const name of order) times[name].push(await contestants[name]());
  }
  const [first, second] = names;
  const ratios = times[first].map((time, round) => time / times[second][round]);
  return {
    microseconds: Object.fromEntries(names.map((name) => [name, summary(times[name])])),
    ratio: summary(ratios),
  };
}

async function againstC() {
  const program = join(folder, 'append-in-c');
  const built = spawnSync('gcc', ['-O2', '-o', program, join(here, 'c/append.c')]);
  if (built.error) return undefined;
  if (built.status !== 0) throw new Error(String(built.stderr));
  const { length } = await append(fresh(), event());
  return inTurn({
    ours: () => timedAppends(fresh()),
    c: () => {
      const args = [fresh(), String(warmUp + perRound), String(length + 1)];
      const took = execFileSync(program, args, { encoding: 'utf8' }).trim().split('\n');
      return median(took.slice(warmUp).map((nanoseconds) => Number(nanoseconds) / 1000));
    },
  });
}

async function againstSize() {
  const large = fresh();
  for (let batch = 0; batch < 20; batch += 1) {
    await appendEvents(large, Array.from({ length: 5000 }, event));
  }
  return inTurn({ large: () => timedAppends(large), empty: () => timedAppends(fresh()) });
}

async function callersTogether() {
  const together = async (path) => {
    const start = process.hrtime.bigint();
    for (let n = 0; n < perRound; n += 64) {
      await Promise.all(Array.from({ length: 64 }, () => append(path, event())));
    }
    const calls = Math.ceil(perRound / 64) * 64;
    return Number(process.hrtime.bigint() - start) / 1000 / calls;
  };
  return inTurn({ together: () => together(fresh()), alone: () => timedAppends(fresh()) });
}

function writtenLog(count) {
  const path = fresh();
  const log = openSync(path, 'w');
  for (let at = 0; at < count; at += 10_000) {
    const lines = Array.from({ length: Math.min(10_000, count - at) }, () =>
      JSON.stringify(event()),
    );
    writeFileSync(log, `${lines.join('\n')}\n`);
  }
  closeSync(log);
  return path;
}

async function tails() {
  const large = writtenLog(1_000_000);
  const small = writtenLog(1_000);
  const tail = (path) => async () => median(await timed(100, () => tailChronicle(path, 10)));
  return inTurn({ million: tail(large), thousand: tail(small) });
}

const parts = [
  ['append, awaited one by one, against flock + write + fdatasync in C', 1.4, againstC],
  ['append to a log of 100,000 events against an empty log', 1.2, againstSize],
  ['each of 64 appends under way together against one alone', undefined, callersTogether],
  ['the last 10 of 1,000,000 events against the last 10 of 1,000', undefined, tails],
];

function row({ what, goal, ratio, microseconds }) {
  const times = Object.entries(microseconds)
    .map(([name, { median: middle }]) => `${name} ${middle.toFixed(1)} us`)
    .join(', ');
  const spread = `${ratio.least.toFixed(2)} to ${ratio.most.toFixed(2)}`;
  const wanted = goal === undefined ? '' : ` goal ${goal.toFixed(1)},`;
  return `${ratio.median.toFixed(2)} x  (${wanted} rounds ${spread})  ${what}: ${times}`.replace(
    '( ',
    '(',
  );
}

const results = [];
try {
  for (const [what, goal, measure] of parts) {
    const measured = await measure();
    if (!measured) {
      console.log(`SKIPPED ${what}: gcc not found`);
      continue;
    }
    const result = { what, goal, ...measured };
    results.push(result);
    console.log(row(result));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const where = {
  date: new Date().toISOString(),
  node: process.version,
  kernel: `${process.platform} ${release()}`,
  processor: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
  fileSystem: `0x${statfsSync(process.argv[2] ?? tmpdir()).type.toString(16)}`,
  rounds,
  perRound,
};
console.log(
  `${where.processor}, ${where.kernel}, node ${where.node}, file system ${where.fileSystem}`,
);
mkdirSync(join(here, 'results'), { recursive: true });
const report = join(here, 'results', `${where.date.replaceAll(':', '-')}.json`);
writeFileSync(report, `${JSON.stringify({ where, results }, null, 2)}\n`);
