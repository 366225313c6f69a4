// Run by each version of Node.js in a folder into which the packed tarball was installed: an
// ECMAScript module, the iterators, and two processes with one lock.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  append,
  followChronicle,
  isChronicleError,
  lockChronicles,
  openChronicle,
  streamChronicle,
} from '@sage/chronicle';
import { makeChronicle } from '@sage/chronicle/testing';

const path = 'module.sage';
const actor = { agent: 'node', id: process.versions.node };
const event = (mark) => ({ type: 'NOTE_TAKEN', timestamp: '2026-01-02T03:04:05Z', actor, mark });

if (process.argv[2] === 'hold') {
  const lock = await lockChronicles([path]);
  console.log('held');
  await once(process.stdin.resume(), 'end');
  await lock.release();
  process.exit();
}

for (const mark of ['one', 'two', 'three']) await append(path, event(mark));
const marks = [];
for await (const { mark } of streamChronicle(path)) marks.push(mark);
assert.deepEqual(marks, ['one', 'two', 'three']);

const stop = new AbortController();
const following = followChronicle(path, { signal: stop.signal });
for (const mark of marks) assert.equal((await following.next()).value.mark, mark);
const next = following.next();
await append(path, event('four'));
assert.equal((await next).value.mark, 'four');
stop.abort();
assert.equal((await following.next()).done, true);

const holder = spawn(process.execPath, [fileURLToPath(import.meta.url), 'hold'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
holder.stdin.on('error', () => {});
holder.stdout.on('error', () => {});
assert.equal((await once(createInterface(holder.stdout), 'line'))[0], 'held');
const refused = await append(path, event('five'), { lockTimeoutMs: 50 }).catch((error) => error);
assert.ok(isChronicleError(refused, 'ELOCK_TIMEOUT'), String(refused));
holder.kill('SIGKILL');
assert.equal((await append(path, event('five'), { lockTimeoutMs: 60_000 })).seq, 5);

const log = await openChronicle(path);
assert.equal((await log.read()).length, 5);
await (Symbol.asyncDispose ? log[Symbol.asyncDispose]() : log.close());
const closed = await log.read().catch((error) => error);
assert.ok(isChronicleError(closed, 'ECLOSED'), String(closed));

const memory = makeChronicle();
await memory.append('log.sage', { type: 'X' });
assert.equal((await memory.read('log.sage')).length, 1);
