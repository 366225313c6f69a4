// Runs worker threads that append and ends them in the middle. Each worker is this file again.
// Usage: worker-process.mjs PLAN, a JSON object; its `scene` names one of the scenes below.
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { tell } from './tell.mjs';

const chronicle = createRequire(import.meta.url)('../index.js');
const plan = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const options = { lockTimeoutMs: 60_000 };

const now = () => String(process.hrtime.bigint());

function event(mark) {
  return {
    type: 'NOTE_TAKEN',
    timestamp: '2026-01-02T03:04:05.678Z',
    actor: { agent: 'test', id: mark.split(':')[0] },
    mark,
  };
}

async function appendTold(path, mark) {
  tell('call', mark, now());
  const receipt = await chronicle.append(path, event(mark), options);
  tell('done', mark, now(), 'acked', receipt);
}

function started(data) {
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: data });
  const ended = new Promise((resolve, reject) => {
    worker.once('exit', resolve);
    worker.once('error', reject);
  });
  const message = new Promise((resolve) => worker.once('message', resolve));
  return { worker, ended, message };
}

const mainScenes = {
  /** Many workers append for ever; each is ended at a random moment after its first receipt. */
  async terminate() {
    let number = 0;
    const lane = async () => {
      while (number < plan.workers) {
        const client = `w${number}`;
        const path = plan.paths[number++ % plan.paths.length];
        const { worker, ended, message } = started({ role: 'endless', client, path });
        await message;
        await pause(Math.random() * 5);
        await worker.terminate();
        await ended;
      }
    };
    await Promise.all(Array.from({ length: 8 }, lane));
    for (const path of plan.paths) await appendTold(path, `main:${path}`);
  },

  /** Workers that come to their own end. */
  async share() {
    const all = Array.from({ length: plan.workers }, (_, n) =>
      started({ role: 'some', client: `w${n}`, path: plan.path, count: plan.count }),
    );
    await Promise.all(all.map(({ ended }) => ended));
  },

  /** Workers are ended with appends that nobody waited for. */
  async orphans() {
    for (let n = 0; n < plan.workers; n += 1) {
      const data = { role: 'careless', client: `w${n}`, path: plan.path, count: plan.count };
      const { worker, ended, message } = started(data);
      await message;
      await worker.terminate();
      await ended;
    }
    tell('flushed', chronicle.flushSync({ timeoutMs: 30_000 }));
  },

  /** process.exit() while appends are under way. */
  exitPending() {
    for (let n = 0; n < plan.count; n += 1) appendTold(plan.path, `m:${n}`);
    setImmediate(() => process.exit(7));
  },

  exitAtOnce() {
    for (let n = 0; n < plan.count; n += 1) appendTold(plan.path, `m:${n}`);
    process.exit(7);
  },

  async exitInWorker() {
    await started({ role: 'exits', client: 'w', path: plan.path, count: plan.count }).message;
    tell('accepted');
  },

  flushAndExit() {
    for (let n = 0; n < plan.count; n += 1)
      void chronicle.append(plan.path, event(`m:${n}`), options);
    tell('flushed', chronicle.flushSync({ timeoutMs: 30_000 }));
    process.exit(0);
  },

  /** The loop is left with appends under way: they keep the process alive. */
  fallOff() {
    for (let n = 0; n < plan.count; n += 1)
      void chronicle.append(plan.path, event(`m:${n}`), options);
  },

  exitHandler() {
    process.on('exit', () => {
      const receipt = chronicle.appendEventSync(plan.path, event('exit:0'));
      tell('receipt', receipt);
    });
    appendTold(plan.path, 'm:0');
  },
};

const workerRoles = {
  async endless() {
    for (let n = 0; ; n += 1) {
      await appendTold(plan.path, `${plan.client}:${n}`);
      if (n === 0) parentPort.postMessage('appended');
    }
  },

  async some() {
    for (let n = 0; n < plan.count; n += 1) await appendTold(plan.path, `${plan.client}:${n}`);
  },

  careless() {
    for (let n = 0; n < plan.count; n += 1) {
      void chronicle.append(plan.path, event(`${plan.client}:${n}`), options);
    }
    parentPort.postMessage('called');
  },

  /** Ends its thread by itself, with appends under way. */
  exits() {
    this.careless();
    process.exit(0);
  },
};

await (isMainThread ? mainScenes[plan.scene]() : workerRoles[plan.role]());
