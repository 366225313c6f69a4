// What another JavaScript runtime than Node.js has to do with the installed package. The first
// argument names a case; `node`, `bun` and `deno` run this file alike.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as chronicle from '@sage/chronicle';
import { makeChronicle, toContainEvent } from '@sage/chronicle/testing';

const { append, readChronicle, verifyChronicle } = chronicle;
const folder = mkdtempSync(join(tmpdir(), 'chronicle-runtime-'));
const path = join(folder, 'logs', 'log.sage');
const note = (n) => ({
  type: 'NOTE',
  timestamp: '2026-01-02T03:04:05.678Z',
  actor: { agent: 'runtime', id: '1' },
  n,
});

/** A second process of this runtime, which runs one of `programs`. */
function start(program, ...args) {
  const flags = typeof Deno === 'undefined' ? [] : ['run', '--allow-all'];
  const command = [...flags, fileURLToPath(import.meta.url), program, ...args];
  return spawn(process.execPath, command, { stdio: ['pipe', 'pipe', 'inherit'] });
}

async function untilReady(child) {
  for await (const text of child.stdout) if (String(text).includes('ready')) return;
  throw new Error('the process ended early');
}

const programs = {
  async hold(file) {
    await chronicle.lockChronicles([file]);
    console.log('ready');
    process.stdin.resume();
    setInterval(() => {}, 60_000);
  },
  leave(file) {
    void append(file, note(1));
  },
  exit(file) {
    void append(file, note(1));
    process.exit(chronicle.flushSync() ? 0 : 1);
  },
  async write(file, name) {
    await Promise.all(Array.from({ length: 50 }, (_, n) => append(file, note(`${name}:${n}`))));
  },
};

async function ended(child) {
  const [code, signal] = await once(child, 'exit');
  return code ?? signal;
}

const cases = {
  'import and require return the same functions'() {
    const required = createRequire(import.meta.url)('@sage/chronicle');
    assert.equal(required.append, append);
  },
  async 'an append is durable, and a second one writes nothing'() {
    const first = await append(path, note(1));
    const again = chronicle.appendEventSync(path, note(1));
    assert.deepEqual([first.seq, first.durable, again.seq, again.duplicate], [1, true, 1, true]);
    assert.equal(readFileSync(path, 'utf8').split('\n').length, 2);
  },
  async 'a thousand appends under way share batches'() {
    await Promise.all(Array.from({ length: 1000 }, (_, n) => append(path, note(n))));
    assert.ok(chronicle.chronicleStats().batches < 500);
    assert.equal((await verifyChronicle(path)).records, 1000);
  },
  async 'read, tail, stream, query and count agree'() {
    await chronicle.appendEvents(path, [1, 2, 3].map(note));
    const streamed = [];
    for await (const { n } of chronicle.streamChronicle(path, { from: { seq: 2 } })) {
      streamed.push(n);
    }
    assert.deepEqual(streamed, [2, 3]);
    assert.deepEqual(
      (await readChronicle(path)).map(({ n }) => n),
      [1, 2, 3],
    );
    assert.deepEqual(
      (await chronicle.tailChronicle(path, 1)).map(({ n }) => n),
      [3],
    );
    const [last] = await chronicle.queryChronicle(
      path,
      { type: 'NOTE' },
      { reverse: true, limit: 1 },
    );
    assert.equal(last.n, 3);
    assert.equal(await chronicle.countEvents(path, { type: 'OTHER' }), 0);
  },
  async 'a follow waits, ends by a signal, and goes on at its cursor'() {
    await append(path, note(1));
    const stop = new AbortController();
    const following = chronicle.followChronicle(path, { signal: stop.signal });
    const seen = [];
    for await (const { n } of following) {
      seen.push(n);
      if (n === 1) await append(path, note(2));
      else stop.abort();
    }
    await append(path, note(3));
    const rest = chronicle.streamChronicle(path, { from: { cursor: following.cursor } });
    for await (const { n } of rest) seen.push(n);
    assert.deepEqual(seen, [1, 2, 3]);
  },
  async 'damage is found and repaired'() {
    await append(path, note(1));
    appendFileSync(path, 'garbage\n');
    assert.equal((await verifyChronicle(path)).findings[0].kind, 'malformed');
    await chronicle.repairChronicle(path);
    assert.equal((await verifyChronicle(path)).ok, true);
  },
  async 'errors are errors of this realm, with their codes'() {
    const wrong = await append(join(folder, 'log.txt'), note(1)).catch((error) => error);
    assert.ok(wrong instanceof Error && wrong instanceof chronicle.ChronicleError);
    assert.ok(chronicle.isChronicleError(wrong, 'EVALIDATION'));
    writeFileSync(join(folder, 'file'), '');
    const failed = await append(join(folder, 'file', 'a.sage'), note(1)).catch((error) => error);
    assert.deepEqual([failed.code, failed.cause.code], ['EIO', 'ENOTDIR']);
    const reason = { given: 'up' };
    const signal = AbortSignal.abort(reason);
    assert.equal(await readChronicle(path, { signal }).catch((error) => error), reason);
  },
  async 'the lock of another process is waited for, and ends with it'() {
    await append(path, note(1));
    const holder = start('hold', path);
    await untilReady(holder);
    const busy = await append(path, note(2), { lockTimeoutMs: 50 }).catch((error) => error);
    assert.equal(busy.code, 'ELOCK_TIMEOUT');
    const waiting = append(path, note(2), { lockTimeoutMs: 30_000 });
    holder.kill('SIGKILL');
    assert.equal((await waiting).seq, 2);
  },
  async 'several processes lose and double nothing'() {
    const writers = ['a', 'b', 'c'].map((name) => start('write', path, name));
    assert.deepEqual(await Promise.all(writers.map(ended)), [0, 0, 0]);
    const { ok, records } = await verifyChronicle(path);
    assert.deepEqual([ok, records], [true, 150]);
  },
  async 'a process that ends by itself waits for its appends'() {
    assert.equal(await ended(start('leave', path)), 0);
    assert.equal((await readChronicle(path)).length, 1);
  },
  async 'flushSync before process.exit'() {
    assert.equal(await ended(start('exit', path)), 0);
    assert.equal((await readChronicle(path)).length, 1);
  },
  async 'worker threads append, and may be ended'() {
    const code = `import { parentPort, workerData } from 'node:worker_threads';
      import { append } from '@sage/chronicle';
      const { seq } = await append(workerData.path, workerData.event);
      parentPort.postMessage(seq);
      setInterval(() => {}, 60_000);`;
    const program = fileURLToPath(new URL('worker.mjs', import.meta.url));
    writeFileSync(program, code);
    for (const n of [1, 2]) {
      const worker = new Worker(program, { workerData: { path, event: note(n) } });
      const [seq] = await once(worker, 'message');
      assert.equal(seq, n);
      await worker.terminate();
    }
    assert.equal((await append(path, note(3))).seq, 3);
  },
  async 'open chronicles, adapters and the double'() {
    const log = await chronicle.openChronicle(path, { clock: Date });
    await log.append({ type: 'NOTE', actor: { agent: 'runtime', id: '1' } });
    assert.equal((await log.read()).length, 1);
    await log.close();
    const adapter = chronicle.createAdapter({ baseDir: folder });
    await adapter.append('lenient.sage', { type: 'FREE' });
    assert.equal((await adapter.tail('lenient.sage', 5)).length, 1);
    const double = makeChronicle();
    await double.append('any.sage', { type: 'FREE', n: 1 });
    assert.equal(toContainEvent(await double.read('any.sage'), { type: 'FREE', n: 1 }).pass, true);
  },
  async 'warnings and channels'() {
    const published = [];
    subscribe('sage:chronicle:append', ({ receipts }) => published.push(receipts.length));
    await append(path, note(1));
    assert.deepEqual(published, [1]);
    appendFileSync(path, 'garbage\n');
    const warning = once(process, 'warning');
    await readChronicle(path);
    assert.equal((await warning)[0].code, 'CHRONICLE_BAD_LINES');
  },
};

const [name, ...args] = process.argv.slice(2);
try {
  if (name === '--list') console.log(Object.keys(cases).join('\n'));
  else if (name in programs) await programs[name](...args);
  else {
    await cases[name]();
    console.log(`done: ${name}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
