// A lock session of two names of one log on a device that fails: its writers share one open file
// description, to which the kernel reports a failed write-back once. What is acknowledged by either
// name is in the file after a power cut.
import { linkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { tools } from './support/disk.mjs';
import { afterCut, onceFailingDisk } from './support/failing-disk.mjs';
import { losses } from './support/losses.mjs';
import { Driven, note } from './support/program.mjs';
import { assert, assertEqual, suite } from './support/suite.mjs';

/** Each sync begins late, so that both names have written when the first one does. */
const SYNC_DELAY = 'fdatasync:delay_enter=300000';

async function trial(link) {
  const disk = await onceFailingDisk('ext4', '-O', '^has_journal');
  const paths = ['log.sage', 'other.sage'].map((name) => join(disk.point, name));
  const driven = Driven.under(SYNC_DELAY);
  assert((await driven.call('append', paths[0], note('first'))).ok, 'no append on a good device');
  link(paths[0], paths[1]);
  const number = (await driven.call('lock', paths)).ok;
  const acks = [];
  const append = async (name, mark) => {
    const answer = await driven.call('lockAppend', number, paths[name], note(mark));
    if (answer.ok) acks.push({ mark, ...answer.ok });
    return answer;
  };
  for (const name of [0, 1])
    assert((await append(name, `before:${name}`)).ok, 'before the failure');

  disk.fail();
  const both = await Promise.all([0, 1].map((name) => append(name, `during:${name}`)));
  assert(disk.hasFailed(), 'the device did not fail');

  for (const round of [1, 2]) {
    for (const name of [0, 1, 1, 0]) await append(name, `after:${round}:${name}`);
  }
  for (const name of [0, 1]) await append(1 - name, `during:${name}`);
  const place = await afterCut(disk, [driven], 'log.sage');
  assertEqual(losses(place, acks), [], 'losses');
  assert(acks.length >= 2 + 6, `only ${acks.length} appends came back`);
  return both;
}

await suite(
  'two-names',
  [...tools, 'mount', 'nbdkit', 'nbdfuse', 'strace'],
  [
    ['by a symlink', symlinkSync],
    ['by a hard link', linkSync],
  ].map(([how, link]) => [
    `a failed sync of a log that is locked by two names, ${how}, rejects the appends of both`,
    async () => {
      for (let round = 0; round < 2; round += 1) {
        for (const { ok, error } of await trial(link)) {
          assert(!ok, 'acknowledged while the device fails');
          assertEqual([error.code, error.written], ['EIO', 'unknown'], 'the rejection');
        }
      }
    },
  ]),
);
