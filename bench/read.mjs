// What reading, asking and checking a log of 1,000,000 events costs, as ratios within one run.
//
// Usage: node bench/read.mjs [FOLDER]   (the file system to measure on; default: the temporary folder)
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  computeEventIds,
  countEvents,
  queryChronicle,
  readChronicle,
  verifyChronicle,
} from '../index.mjs';

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'chronicle-bench-'));
const rounds = 7;
const count = 1_000_000;
const types = ['BUILD', 'DEPLOY', 'FILE_ADDED', 'PLAN_DRAFTED', 'ENVVAR_CHANGE'];
const middle = Date.UTC(2026, 0, 1) + (count / 2) * 1000;

async function written() {
  const path = join(folder, 'log.sage');
  const log = openSync(path, 'w');
  for (let from = 0; from < count; from += 10_000) {
    const events = Array.from({ length: 10_000 }, (_, i) => {
      const n = from + i;
      return {
        type: n % 100 === 50 ? 'RARE' : types[n % 5],
        timestamp: new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString(),
        actor: { agent: `agent-${n % 7}`, id: `run-${n % 13}` },
        status: 'success',
        n,
        tags: ['x', `y${n % 4}`],
      };
    });
    const ids = await computeEventIds(events);
    const lines = events.map(({ type, ...rest }, i) =>
      JSON.stringify({ type, eventId: ids[i], ...rest }),
    );
    writeFileSync(log, `${lines.join('\n')}\n`);
  }
  closeSync(log);
  return path;
}

/** The bytes alone, read as fast as one thread reads them. */
function bytes(path, meet = () => {}) {
  const file = openSync(path, 'r');
  const buffer = Buffer.alloc(1 << 20);
  for (let got = -1; got !== 0;) {
    got = readSync(file, buffer);
    meet(buffer.subarray(0, got));
  }
  closeSync(file);
}

function parsed(path) {
  const events = [];
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line !== '') events.push(JSON.parse(line));
  }
  return events;
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

async function seconds(call) {
  const start = process.hrtime.bigint();
  await call();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/** The longest and the usual time between two turns of the event loop while `call` runs, in milliseconds. */
async function turns(call) {
  const gaps = [];
  let last = performance.now();
  let over = false;
  const tick = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    if (!over) setImmediate(tick);
  };
  setImmediate(tick);
  await call();
  over = true;
  gaps.sort((a, b) => b - a);
  return { longest: gaps[0], tenth: gaps[9] };
}

try {
  const path = await written();
  const size = statSync(path).size;
  console.log(`${count} events, ${(size / 1e6).toFixed(0)} MB`);
  const contestants = {
    'the bytes alone': () => bytes(path),
    'SHA-256 of the bytes (node:crypto)': () => {
      const hash = createHash('sha256');
      bytes(path, (part) => hash.update(part));
      hash.digest();
    },
    'readFile, split, JSON.parse of each line': () => parsed(path),
    'countEvents of one type since a time': () =>
      countEvents(path, { type: 'BUILD', since: middle }),
    'countEvents of a rare type': () => countEvents(path, { type: 'RARE' }),
    'countEvents of all': () => countEvents(path),
    'queryChronicle with 1 % hits': () => queryChronicle(path, { type: 'RARE' }),
    'queryChronicle of the latest of a rare type': () =>
      queryChronicle(path, { type: 'RARE' }, { reverse: true, limit: 1 }),
    readChronicle: () => readChronicle(path),
    verifyChronicle: () => verifyChronicle(path),
  };
  const times = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const order = Object.keys(contestants);
    if (round % 2) order.reverse();
    for (const name of order) times[name].push(await seconds(contestants[name]));
  }
  for (const [name, took] of Object.entries(times)) {
    const [least, most] = [Math.min(...took), Math.max(...took)].map((t) => (t * 1000).toFixed(1));
    const rate = (size / median(took) / 1e9).toFixed(2);
    const middleTime = (median(took) * 1000).toFixed(1);
    console.log(`${name}: ${middleTime} ms (${least} to ${most}), ${rate} GB/s`);
  }
  const ratio = (a, b) => median(times[a].map((time, n) => time / times[b][n])).toFixed(2);
  console.log(
    `readChronicle against JSON.parse of each line: ${ratio('readChronicle', 'readFile, split, JSON.parse of each line')} x`,
  );
  console.log(
    `verifyChronicle against SHA-256: ${ratio('verifyChronicle', 'SHA-256 of the bytes (node:crypto)')} x`,
  );
  const ours = await turns(() => readChronicle(path));
  console.log(
    `event loop while readChronicle runs: longest turn ${ours.longest.toFixed(1)} ms, tenth longest ${ours.tenth.toFixed(1)} ms`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} x ${cpus()[0]?.model.trim()}, ${process.platform} ${release()}, node ${process.version}`,
);
