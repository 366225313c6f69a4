// Appends as described by its job. Reports each call by a synchronous write, so that a kill loses
// no acknowledgement.
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tell } from './tell.mjs';

const chronicle = createRequire(import.meta.url)('../index.js');
const job = JSON.parse(process.argv[2]);
const { path, client, marks, filler = 0, inFlight = 1 } = job;
const options = { lockTimeoutMs: 60_000, ...job.options };
const count = marks ? marks.length : (job.count ?? Infinity);
const padding = 'é'.repeat(filler / 2);

let next = 0;
let stopped = false;
let failed;

const now = () => String(process.hrtime.bigint());

async function appendOne() {
  const number = next++;
  const mark = marks ? marks[number] : `${client}:${number}`;
  const event = {
    type: 'NOTE_TAKEN',
    timestamp: '2026-01-02T03:04:05.678Z',
    actor: { agent: 'test', id: marks ? 'anyone' : client },
    mark,
    ...(filler ? { padding } : {}),
  };
  tell('call', mark, now());
  try {
    const receipt = await chronicle.append(path, event, options);
    tell('done', mark, now(), 'acked', receipt);
  } catch (error) {
    tell('done', mark, now(), error.written === 'no' ? 'refused' : 'unknown');
    if (!job.mayFail) failed ??= error;
  }
}

async function lane() {
  while (next < count && !stopped && !failed) await appendOne();
}

async function run() {
  await Promise.all(Array.from({ length: inFlight }, lane));
  process.stdin.destroy();
  if (failed) throw failed;
}

process.stdin.setEncoding('utf8').on('data', (text) => {
  if (text.includes('go')) run();
  if (text.includes('stop')) stopped = true;
});
writeSync(1, 'ready\n');
