// A side index that one version made serves the other.
import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { covered, sideIndexOf } from '../../bench/side-index.mjs';
import { marksIn, named, note, notes, orders } from './support.mjs';

const MIB = 1 << 20;
const padding = { padding: 'x'.repeat(4_000) };
/** Against hanging. */
const LOOKS = 600;

const identity = (path) => {
  const { ino, size, mtimeMs } = statSync(sideIndexOf(path));
  return { ino, size, mtimeMs };
};

/**
 * Makes the log longer by `mebibytes`, and waits until its index covers nearly all: that happens
 * behind the appends.
 */
async function grow(member, path, prefix, mebibytes) {
  const events = notes(prefix, mebibytes * 250, padding);
  for (let at = 0; at < events.length; at += 250) {
    await member.ask('appendMany', path, events.slice(at, at + 250));
  }
  const isCovered = () => covered(path) >= statSync(path).size - 2 * MIB;
  for (let look = 0; !isCovered() && look < LOOKS; look += 1) {
    await pause(50);
    // An index is looked after behind an append.
    await member.ask('append', path, note(`${prefix}-wait:${look}`));
  }
  assert.ok(isCovered(), `the index covers ${covered(path)} of ${statSync(path).size}`);
  return events;
}

/**
 * A new process of that version finds the first and last of `events`, without a scan of the log and
 * without a new index.
 */
async function isUsed(which, path, events, start) {
  const records = marksIn(path).length;
  const before = identity(path);
  const member = await start(which);
  const { receipt, read } = await member.ask('weighed', path, events[0]);
  assert.deepEqual([receipt.duplicate, receipt.identical], [true, true]);
  const last = await member.ask('append', path, events.at(-1));
  assert.deepEqual([last.duplicate, last.identical], [true, true]);
  const next = await member.ask('append', path, note(`behind:${records}`));
  assert.deepEqual([next.duplicate, next.seq], [false, records + 1]);
  const { size } = statSync(path);
  assert.ok(read < size / 2, `it read ${read} of ${size} bytes`);
  await member.stop();
  assert.deepEqual(identity(path), before, 'the index is the same file, unchanged');
}

async function serves(maker, user, { path, start }) {
  const making = await start(maker);
  const first = await grow(making, path, 'first', 8);
  await isUsed(user, path, first, start);
  // The other one goes on with it, and the maker with what came of that.
  const going = await start(user);
  const { ino } = identity(path);
  const second = await grow(going, path, 'second', 4);
  await isUsed(maker, path, [first[0], ...second], start);
  await isUsed(user, path, [second[0], ...first], start);
  await Promise.all([making.stop(), going.stop()]);
  return ino;
}

/** The measure of `isUsed` shows a scan where there is no index. */
async function control(which, { path, start }) {
  const making = await start(which);
  const [event] = await grow(making, path, 'first', 8);
  await making.stop();
  rmSync(sideIndexOf(path));
  const member = await start(which);
  const { receipt, read } = await member.ask('weighed', path, event);
  assert.equal(receipt.duplicate, true);
  assert.ok(read >= statSync(path).size, `it read ${read} of ${statSync(path).size} bytes`);
}

const there = existsSync('/proc/self/io');

export const indexing = there
  ? [
      ...orders.map(([maker, user]) => [
        `a side index of ${named[maker]} is used, and extended, by ${named[user]}, and then used again`,
        (context) => serves(maker, user, context),
      ]),
      ...['old', 'new'].map((which) => [
        `without a side index ${named[which]} reads the whole log`,
        (context) => control(which, context),
      ]),
    ]
  : [];
