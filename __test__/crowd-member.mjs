// One of many concurrent writers or readers of a log: a process, or a worker thread. It prints
// `ready` and waits for `go`. Then it reports each append, and for each read the number of events
// and the hash of their marks.
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { tell } from './tell.mjs';

const chronicle = createRequire(import.meta.url)('../index.js');

const now = () => String(process.hrtime.bigint());

async function write({ path, client, count }) {
  for (let number = 0; number < count; number += 1) {
    const mark = `${client}:${number}`;
    const event = {
      type: 'NOTE_TAKEN',
      timestamp: '2026-01-02T03:04:05.678Z',
      actor: { agent: 'test', id: client },
      mark,
    };
    tell('call', mark, now());
    const receipt = await chronicle.append(path, event, { lockTimeoutMs: 60_000 });
    tell('done', mark, now(), 'acked', receipt);
  }
}

async function read({ path, count }) {
  for (let number = 0; number < count; number += 1) {
    const marks = [];
    if (number % 2 === 0) {
      for (const { mark } of await chronicle.readChronicle(path)) marks.push(mark);
    } else {
      for await (const { mark } of chronicle.streamChronicle(path)) marks.push(mark);
    }
    tell('read', marks.length, createHash('sha256').update(marks.join('\n')).digest('hex'));
  }
}

const act = (job) => (job.client === undefined ? read(job) : write(job));

/** Runs each job in a worker thread of its own, all from one moment on. */
async function playInWorkers(jobs) {
  const workers = jobs.map((job) => new Worker(new URL(import.meta.url), { workerData: job }));
  const ended = workers.map(
    (worker) =>
      new Promise((resolve, reject) => worker.on('error', reject).on('exit', () => resolve())),
  );
  await Promise.all(workers.map((worker) => new Promise((ready) => worker.once('message', ready))));
  for (const worker of workers) worker.postMessage('go');
  await Promise.all(ended);
}

if (parentPort) {
  parentPort.once('message', () => act(workerData));
  parentPort.postMessage('ready');
} else {
  const { jobs, ...job } = JSON.parse(process.argv[2]);
  process.stdin.setEncoding('utf8').once('data', async () => {
    await (jobs ? playInWorkers(jobs) : act(job));
    process.stdin.destroy();
  });
  process.stdout.write('ready\n');
}
