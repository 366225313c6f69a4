// Locks that one version holds keep the other out.
import assert from 'node:assert/strict';
import { copyFileSync, renameSync } from 'node:fs';
import { failure, marksIn, named, note, orders } from './support.mjs';

const once = { lockTimeoutMs: 0 };
const briefly = { lockTimeoutMs: 100 };
const long = { lockTimeoutMs: 60_000 };

async function keepsOut(holder, other, { path, start }) {
  const [holding, waiting] = [await start(holder), await start(other)];
  await waiting.ask('append', path, note('before'));
  const held = await holding.ask('lock', [path], long);
  for (const refused of [
    ['lock', [path], once],
    ['lock', [path], { ...once, mode: 'shared' }],
    ['append', path, note('refused'), briefly],
  ]) {
    const { code } = await failure(waiting.ask(...refused));
    assert.equal(code, 'ELOCK_TIMEOUT');
  }
  const patient = waiting.ask('append', path, note('patient'), long);
  await holding.ask('lockAppend', held, path, note('inside'));
  await holding.ask('unlock', held);
  await patient;
  assert.deepEqual(marksIn(path), ['before', 'inside', 'patient']);
  const after = await waiting.ask('lock', [path], once);
  await waiting.ask('unlock', after);
}

async function isShared(holder, other, { path, start }) {
  const [holding, sharing] = [await start(holder), await start(other)];
  await holding.ask('append', path, note('before'));
  const shared = { mode: 'shared', lockTimeoutMs: 0 };
  const held = await holding.ask('lock', [path], shared);
  const also = await sharing.ask('lock', [path], shared);
  const { code } = await failure(sharing.ask('append', path, note('refused'), briefly));
  assert.equal(code, 'ELOCK_TIMEOUT');
  await holding.ask('unlock', held);
  await sharing.ask('unlock', also);
  await sharing.ask('append', path, note('after'), once);
}

/** An editor saves by a rename: the lock of the log stays on the file that lost its name. */
async function outlastsARename(holder, other, { path, start }) {
  const [holding, waiting] = [await start(holder), await start(other)];
  await holding.ask('append', path, note('before'));
  const held = await holding.ask('lock', [path], long);
  copyFileSync(path, `${path}.edited`);
  renameSync(`${path}.edited`, path);
  const { code } = await failure(waiting.ask('lock', [path], once));
  assert.equal(code, 'ELOCK_TIMEOUT');
  await holding.ask('lockAppend', held, path, note('inside'));
  await holding.ask('unlock', held);
  const after = await waiting.ask('lock', [path], once);
  await waiting.ask('lockAppend', after, path, note('after'));
  await waiting.ask('unlock', after);
  assert.deepEqual(marksIn(path), ['before', 'inside', 'after']);
}

export const locking = orders.flatMap(([holder, other]) => [
  [
    `a lock session of ${named[holder]} keeps out sessions and appends of ${named[other]}`,
    (context) => keepsOut(holder, other, context),
  ],
  [
    `a shared session of ${named[holder]} admits one of ${named[other]}, and no append`,
    (context) => isShared(holder, other, context),
  ],
  [
    `a session of ${named[holder]} keeps out one of ${named[other]} when an editor renamed the log`,
    (context) => outlastsARename(holder, other, context),
  ],
]);
