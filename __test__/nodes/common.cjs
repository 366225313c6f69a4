// Run by each version of Node.js in a folder into which the packed tarball was installed: CommonJS
// and worker threads.
const assert = require('node:assert/strict');
const { Worker, isMainThread, workerData } = require('node:worker_threads');
const chronicle = require('@sage/chronicle');

const event = (mark) => ({
  type: 'NOTE_TAKEN',
  timestamp: '2026-01-02T03:04:05.000Z',
  actor: { agent: 'node', id: process.versions.node },
  mark,
});

async function main() {
  const path = 'common.sage';
  const first = await chronicle.append(path, event('one'));
  const again = await chronicle.append(path, event('one'));
  assert.deepEqual([first.duplicate, again.duplicate, again.seq], [false, true, 1]);
  assert.equal(chronicle.appendEventSync(path, event('two')).seq, 2);

  const failed = await chronicle.append('a.txt', event('x')).catch((error) => error);
  assert.ok(failed instanceof chronicle.ChronicleError && failed instanceof Error);
  assert.equal(failed.code, 'EVALIDATION');

  const threads = Array.from({ length: 8 }, (_, thread) => {
    const worker = new Worker(__filename, { workerData: { path, thread } });
    return new Promise((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`exit ${code}`))));
    });
  });
  await Promise.all(threads);

  const events = await chronicle.readChronicle(path);
  assert.equal(new Set(events.map(({ mark }) => mark)).size, 2 + 8 * 20);
  assert.equal(events.length, 2 + 8 * 20);
  assert.equal((await chronicle.verifyChronicle(path)).ok, true);
  const [latest] = await chronicle.queryChronicle(path, {}, { reverse: true, limit: 1 });
  assert.deepEqual(latest, events.at(-1));
}

async function inThread({ path, thread }) {
  for (let n = 0; n < 20; n += 1) await chronicle.append(path, event(`${thread}:${n}`));
}

const run = isMainThread ? main() : inThread(workerData);
run.catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
