// Follows, streams and their cursors, and what the other version does to the log meanwhile.
import assert from 'node:assert/strict';
import { appendFileSync, renameSync } from 'node:fs';
import { failure, marksOf, named, note, notes, orders } from './support.mjs';

async function sees(follower, writer, { path, start }) {
  const [following, writing] = [await start(follower), await start(writer)];
  const [before, meanwhile, later] = ['before', 'meanwhile', 'later'].map((p) => notes(p, 20));
  await writing.ask('appendEach', path, before);
  const follow = await following.ask('follow', path);
  const there = await following.ask('take', follow, 20);
  assert.deepEqual(there.marks, marksOf(before));
  const [came] = await Promise.all([
    following.ask('take', follow, 20),
    writing.ask('appendEach', path, meanwhile),
  ]);
  assert.deepEqual(came.marks, marksOf(meanwhile));
  renameSync(path, `${path}.1`);
  const [next] = await Promise.all([
    following.ask('take', follow, 20),
    writing.ask('appendEach', path, later),
  ]);
  assert.deepEqual(next.marks, marksOf(later));
  await following.ask('endFollow', follow);
}

/** Each kind of place that version 0.1.0 makes cursors of: read on by a stream and by a follow. */
async function goesOn({ path, start }) {
  const [older, newer] = [await start('old'), await start('new')];
  const events = notes('event', 30);
  const marks = marksOf(events);
  await older.ask('appendEach', path, events.slice(0, 20));

  const stream = await older.ask('stream', path, {}, 7);
  const backwards = await older.ask('stream', path, { reverse: true }, 7);
  const follow = await older.ask('follow', path);
  const followed = await older.ask('take', follow, 12);
  await older.ask('endFollow', follow);
  for (const { cursor } of [stream, backwards, followed]) assert.match(cursor, /^c1-/);

  await newer.ask('appendEach', path, events.slice(20));
  for (const { cursor, marks: given } of [stream, followed]) {
    const rest = marks.slice(given.length);
    const from = { from: { cursor } };
    assert.deepEqual((await newer.ask('stream', path, from)).marks, rest);
    const on = await newer.ask('follow', path, from);
    assert.deepEqual((await newer.ask('take', on, rest.length)).marks, rest);
    await newer.ask('endFollow', on);
  }
  const back = { to: { cursor: backwards.cursor }, reverse: true };
  const rest = marks.slice(0, 13).reverse();
  assert.deepEqual((await newer.ask('stream', path, back)).marks, rest);
}

async function outlivesAMove({ path, start }) {
  const [older, newer] = [await start('old'), await start('new')];
  await older.ask('appendEach', path, notes('event', 10));
  const { cursor } = await older.ask('stream', path, {}, 4);
  renameSync(path, `${path}.1`);
  await newer.ask('appendEach', path, notes('next', 3));
  const on = await newer.ask('follow', path, { from: { cursor } });
  const { marks } = await newer.ask('take', on, 9);
  assert.deepEqual(marks, marksOf([...notes('event', 10).slice(4), ...notes('next', 3)]));
  await newer.ask('endFollow', on);
}

/** A cursor of today's build either holds there or is refused: it never leads to another place. */
async function goesBack({ path, start }) {
  const [older, newer] = [await start('old'), await start('new')];
  const events = notes('event', 20);
  await newer.ask('appendEach', path, events);
  const { cursor } = await newer.ask('stream', path, {}, 7);
  const from = { from: { cursor } };
  if (cursor.startsWith('c1-')) {
    assert.deepEqual((await older.ask('stream', path, from)).marks, marksOf(events.slice(7)));
    return;
  }
  const refused = await failure(older.ask('stream', path, from));
  assert.equal(refused.code, 'EVALIDATION');
  const follow = await older.ask('follow', path, from).catch((error) => error);
  const { code } = follow.code ? follow : await failure(older.ask('take', follow, 1));
  assert.equal(code, 'EVALIDATION');
}

async function outlivesARepair(follower, mender, { path, start }) {
  const [following, mending] = [await start(follower), await start(mender)];
  const before = notes('before', 10);
  await mending.ask('appendEach', path, before);
  appendFileSync(path, 'no record\n');
  await mending.ask('appendEach', path, notes('behind', 2));
  const follow = await following.ask('follow', path);
  const there = await following.ask('take', follow, 12);
  assert.deepEqual(there.marks.slice(-2), ['behind:0', 'behind:1']);
  const repaired = await mending.ask('repair', path);
  assert.deepEqual(repaired, { repaired: true, kept: 12, removed: 1 });
  await mending.ask('append', path, note('next:0'));
  await following.ask('append', path, note('next:1'));
  const { marks } = await following.ask('take', follow, 2);
  assert.deepEqual(marks, ['next:0', 'next:1']);
  await following.ask('endFollow', follow);
}

export const following = [
  ...orders.flatMap(([one, other]) => [
    [
      `a follow of ${named[one]} gives what ${named[other]} appends, to the next file too`,
      (context) => sees(one, other, context),
    ],
    [
      `a follow of ${named[one]} gives each event once while ${named[other]} repairs the log`,
      (context) => outlivesARepair(one, other, context),
    ],
  ]),
  ["cursors of the version before go on in today's build, streamed and followed", goesOn],
  [
    "a cursor of the version before finds its file under another name in today's build",
    outlivesAMove,
  ],
  ["the version before uses a cursor of today's build or refuses it", goesBack],
];
