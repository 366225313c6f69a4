// A block device that fails and heals, under a mounted ext4. After each trial power is cut by
// copying the device's bytes: whatever was acknowledged, before the failure or after it, is in the
// file then.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tools } from './support/disk.mjs';
import { afterCut, failingDisk } from './support/failing-disk.mjs';
import { Driven, note, Program } from './support/program.mjs';
import { assert, assertEqual, suite } from './support/suite.mjs';
import { losses } from './support/losses.mjs';

function parts(answer) {
  return [answer.error?.code, answer.error?.cause?.code];
}

/**
 * One process appends before, while and after the device fails, another one comes later. Gives what
 * was acknowledged after the failure, for the caller to say whether there must have been any.
 */
async function trial(disk, { filler, brief }) {
  const path = join(disk.point, 'log.sage');
  const acks = [];
  const append = async (driven, mark) => {
    const answer = await driven.call('appendLarge', path, mark, filler);
    if (answer.ok) acks.push({ mark, ...answer.ok });
    return answer;
  };
  const one = Driven.start();
  const two = Driven.start();
  assert((await append(one, 'before:1')).ok, 'no append on a good device');
  assert((await append(two, 'before:2')).ok, 'no append on a good device');

  disk.fail();
  const failed = await append(one, 'during:1');
  assertEqual(parts(failed), ['EIO', 'EIO'], 'the append on the failing device');
  assertEqual(failed.error.written, 'unknown', 'what it says was written');
  if (!brief) {
    assert(!(await append(one, 'during:1')).ok, 'acknowledged while the device fails');
    assert(!(await append(two, 'during:2')).ok, 'acknowledged while the device fails');
  }
  disk.heal();

  const healthy = acks.length;
  const three = Driven.start();
  for (const [driven, mark] of [
    [one, 'during:1'],
    [one, 'after:1'],
    [three, 'after:3'],
    [three, 'during:1'],
    [two, 'during:2'],
    [two, 'during:1'],
    [one, 'after:3'],
    [one, 'during:1'],
    [one, 'after:1b'],
  ]) {
    await append(driven, mark);
  }
  const place = await afterCut(disk, [one, two, three], 'log.sage');
  assertEqual(losses(place, acks), [], 'losses');

  const later = Driven.start();
  const again = await later.call('append', place, note('after the cut'));
  assert(again.ok, `no append after the cut: ${JSON.stringify(again.error)}`);
  assertEqual(losses(place, [...acks, { mark: 'after the cut', ...again.ok }]), [], 'losses');
  await later.kill();
  return acks.length - healthy;
}

// A journal that meets the failure makes the file system read-only, and nothing is acknowledged
// there any more. Where it does not, because there is none or because only the data met it, appends
// must come back.
const layouts = [
  ['ext4', ['ext4'], false, 0],
  ['ext4 whose journal is spared', ['ext4'], true, 5],
  ['ext4 with 1 KiB blocks whose journal is spared', ['ext4', '-b', '1024'], true, 5],
  ['ext4 without a journal', ['ext4', '-O', '^has_journal'], false, 5],
  [
    'ext4 without a journal, with 1 KiB blocks',
    ['ext4', '-O', '^has_journal', '-b', '1024'],
    false,
    5,
  ],
  // Both give up for good when their own metadata meets the failure.
  ['xfs', ['xfs'], false, 0],
  ['btrfs', ['btrfs'], false, 0],
];

const fillers = [0, 700, 5000];

const tests = layouts.flatMap(([layout, options, brief, least]) =>
  fillers.map((filler) => [
    `on ${layout}, events of ${filler} bytes more: what was acknowledged around a failed sync survives a power cut`,
    async () => {
      const acknowledged = await trial(await failingDisk(...options), { filler, brief });
      assert(acknowledged >= least, `only ${acknowledged} appends came back`);
    },
  ]),
);

await suite(
  'device-eio',
  [...tools, 'mount', 'nbdkit', 'nbdfuse', 'python3'],
  [
    ...tests,
    [
      'a writer that trusts a later sync loses what it acknowledged, so the tests above can fail',
      async () => {
        const disk = await failingDisk('ext4', '-O', '^has_journal');
        const program = fileURLToPath(new URL('support/trusting_writer.py', import.meta.url));
        const writer = new Program('python3', [program, join(disk.point, 'log.sage')]);
        const append = async (mark) => {
          const before = writer.lines.length;
          writer.send(
            mark === '' ? '' : JSON.stringify({ ...note(mark), padding: 'x'.repeat(5000) }),
          );
          await writer.until(() => writer.lines.length > before);
          return writer.lines.at(-1);
        };
        assertEqual(await append('before'), 'ok', 'before the failure');
        disk.fail();
        assertEqual(await append('during'), 'EIO', 'while the device fails');
        disk.heal();
        assertEqual(await append(''), 'ok', 'the sync after it');
        const path = await afterCut(disk, [writer], 'log.sage');
        assert(existsSync(path), 'the file is gone');
        const lost = losses(path, [{ mark: 'during' }]);
        assertEqual(lost, ['during was acknowledged and is lost'], 'losses');
      },
    ],
  ],
);
