// Both versions append to one log.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { marksIn, marksOf, named, note, notes, orders } from './support.mjs';

/** Nothing lost, nothing doubled. */
function holdsEachOnce(path, events) {
  assert.deepEqual(marksIn(path).sort(), [...new Set(marksOf(events))].sort());
}

async function inTurn({ path, start }) {
  const members = [await start('old'), await start('new')];
  const events = notes('turn', 40);
  for (const [n, event] of events.entries()) {
    const [one, other] = n % 2 === 0 ? members : [...members].reverse();
    const first = await one.ask('append', path, event);
    assert.deepEqual([first.seq, first.duplicate, first.durable], [n + 1, false, true]);
    const again = await other.ask('append', path, event);
    assert.deepEqual(again, { ...first, duplicate: true, identical: true });
  }
  assert.deepEqual(marksIn(path), marksOf(events));
  for (const member of members) {
    assert.deepEqual(await member.ask('marks', path), marksOf(events));
  }
}

async function atOnce({ path, start }) {
  const shared = notes('shared', 100);
  const versions = ['old', 'new', 'old', 'new'];
  const members = await Promise.all(versions.map(start));
  const jobs = members.map((_, m) => {
    const own = notes(`own${m}`, 100);
    return own.flatMap((event, n) => [event, shared[n]]);
  });
  const options = { lockTimeoutMs: 60_000 };
  const receipts = await Promise.all(
    members.map((member, m) => member.ask('appendEach', path, jobs[m], options)),
  );
  holdsEachOnce(path, jobs.flat());
  const written = receipts.flat().filter(({ duplicate }) => !duplicate);
  assert.equal(written.length, 500);
  assert.equal(new Set(written.map(({ seq }) => seq)).size, 500);
  for (const [n] of shared.entries()) {
    const places = receipts.map((each) => each[2 * n + 1].offset);
    assert.equal(new Set(places).size, 1, 'all receipts name one record');
  }
  for (const member of members.slice(0, 2)) {
    assert.deepEqual(await member.ask('verify', path), { ok: true, records: 500, findings: [] });
  }
}

async function chains({ path, start }) {
  const members = await Promise.all(['old', 'new'].map(start));
  const options = { chain: true, lockTimeoutMs: 60_000 };
  await Promise.all(
    members.map((member, m) => member.ask('appendEach', path, notes(`m${m}`, 50), options)),
  );
  for (const member of members) {
    assert.deepEqual(await member.ask('verify', path), { ok: true, records: 100, findings: [] });
  }
  // A retry by the other one, with another record as its last.
  const [older, newer] = members;
  const retried = await newer.ask('append', path, notes('m0', 1)[0], options);
  const back = await older.ask('append', path, notes('m1', 1)[0], options);
  assert.deepEqual([retried.duplicate, back.duplicate], [true, true]);
}

async function keys({ path, start }) {
  const [older, newer] = [await start('old'), await start('new')];
  const later = { timestamp: '2026-02-03T00:00:00.000Z' };
  for (const [n, [one, other]] of [
    [older, newer],
    [newer, older],
  ].entries()) {
    const options = { idempotencyKey: `key-${n}` };
    const first = await one.ask('append', path, note(`k:${n}`), options);
    const retry = await other.ask('append', path, note(`k:${n}`, later), options);
    assert.deepEqual([retry.duplicate, retry.offset], [true, first.offset]);
  }
  assert.deepEqual(marksIn(path), ['k:0', 'k:1']);
}

async function torn({ path, start }) {
  const members = await Promise.all(['old', 'new'].map(start));
  const events = notes('torn', 20);
  for (const [n, event] of events.entries()) {
    await members[n % 2].ask('append', path, event);
    appendFileSync(path, '{"type":"NOTE_TAKEN","mark":"cut');
    const { duplicate } = await members[(n + 1) % 2].ask('append', path, event);
    assert.equal(duplicate, true);
  }
  for (const member of members) assert.deepEqual(await member.ask('marks', path), marksOf(events));
}

/** The version before takes such a line for malformed; both must number the records alike. */
async function markedLine({ path, start }) {
  const members = await Promise.all(['old', 'new'].map(start));
  await members[0].ask('append', path, note('first'));
  appendFileSync(path, `\ufeff${JSON.stringify(note('marked', { eventId: 'marked' }))}\n`);
  for (const [n, event] of notes('after', 6).entries()) {
    const { seq, duplicate } = await members[n % 2].ask('append', path, event);
    assert.deepEqual([seq, duplicate], [n + 2, false]);
  }
  const marks = ['first', ...marksOf(notes('after', 6))];
  for (const member of members) assert.deepEqual(await member.ask('marks', path), marks);
}

async function oneRepairs(mender, other, { path, start }) {
  const [mending, appending] = [await start(mender), await start(other)];
  const before = notes('before', 10);
  await appending.ask('appendEach', path, before.slice(0, 5));
  appendFileSync(path, 'no record\n');
  await appending.ask('appendEach', path, before.slice(5));
  const repaired = await mending.ask('repair', path);
  assert.deepEqual(repaired, { repaired: true, kept: 10, removed: 1 });
  // The file that it holds open has lost its name.
  const next = await appending.ask('append', path, note('next'));
  assert.deepEqual([next.seq, next.duplicate], [11, false]);
  const again = await appending.ask('append', path, before[7]);
  assert.deepEqual([again.seq, again.duplicate], [8, true]);
  assert.deepEqual(marksIn(path), [...marksOf(before), 'next']);
}

export const appending = [
  [
    'the versions differ, and each process has its own',
    async ({ start, before }) => {
      const [older, newer] = [await start('old'), await start('new')];
      const versions = [await older.ask('version'), await newer.ask('version')];
      assert.equal(versions[0], before.version);
      assert.notEqual(versions[1], before.version);
    },
  ],
  ['in turn, each sees what the other appended and takes its retry for a duplicate', inTurn],
  ['at once, equal and different events are each in the log exactly once', atOnce],
  ['at once, they build one unbroken chain', chains],
  ['each knows the idempotency keys of the other', keys],
  ['behind a torn tail neither loses a record', torn],
  ['behind a line with a byte order mark both number the records alike', markedLine],
  ...orders.map(([mender, other]) => [
    `${named[mender]} repairs a log that ${named[other]} has open and goes on with`,
    (context) => oneRepairs(mender, other, context),
  ]),
];
