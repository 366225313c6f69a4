// File systems without room: what was refused is not there, what was acknowledged is, and the next
// append works as soon as there is room again.
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { imageOf, makeImage, mount, tools } from './support/disk.mjs';
import { Driven, note, startWriters } from './support/program.mjs';
import { assert, assertEqual, run, suite } from './support/suite.mjs';
import { losses } from './support/losses.mjs';

/** The places of the tests: how each is made, the error of a full disk, and how room is made. */
const places = {
  'tmpfs of 64 KiB': { make: () => mount('none', '-t', 'tmpfs', '-o', 'size=64k').point },
  'ext4 of 8 MiB': { make: () => mount(makeImage('small.img', 8, '-m0'), '-o', 'loop').point },
  'xfs of 300 MiB': { make: () => mount(imageOf('xfs', 'small.img', 300), '-o', 'loop').point },
  'btrfs with a quota of 1 MiB': {
    full: 'EDQUOT',
    make() {
      const { point } = mount(imageOf('btrfs', 'small.img'), '-o', 'loop');
      const limited = join(point, 'limited');
      run('btrfs', 'quota', 'enable', point);
      run('btrfs', 'subvolume', 'create', limited);
      run('btrfs', 'qgroup', 'limit', '1M', limited);
      return limited;
    },
    settle: (point) => run('btrfs', 'filesystem', 'sync', point),
  },
};

function fill(point, name) {
  // dd fails when nothing is left, which is what is wanted.
  const blocks = ['if=/dev/zero', `of=${join(point, name)}`, 'bs=4k', 'conv=fsync'];
  try {
    run('dd', ...blocks);
  } catch (error) {
    if (!/No space left|quota exceeded/.test(error.message)) throw error;
  }
}

function assertFull(error, path, cause) {
  assertEqual(
    [error?.code, error?.written, error?.cause?.code, error?.path],
    ['EIO', 'no', cause, path],
    'error',
  );
}

const noSettling = () => {};

const tests = Object.entries(places).flatMap(
  ([place, { make, full = 'ENOSPC', settle = noSettling }]) => [
    [
      `on ${place} a full disk rolls the append back, and it works when there is room`,
      async () => {
        const point = make();
        const path = join(point, 'log.sage');
        const driven = Driven.start();
        const acks = [];
        const first = await driven.call('append', path, note('first'));
        acks.push({ mark: 'first', ...first.ok });
        fill(point, 'ballast');
        // What is left of the last block takes some events; then none.
        let failures = 0;
        for (let n = 0; failures < 3; n += 1) {
          assert(n < 200, 'the disk was never full');
          const before = statSync(path).size;
          const answer = await driven.call('appendLarge', path, `large:${n}`, 3000);
          if (answer.ok) {
            acks.push({ mark: `large:${n}`, ...answer.ok });
            continue;
          }
          failures += 1;
          assertFull(answer.error, path, full);
          assertEqual(statSync(path).size, before, 'size after the failure');
        }
        assertEqual(losses(path, acks), [], 'losses');
        rmSync(join(point, 'ballast'));
        settle(point);
        const again = await driven.call('appendLarge', path, 'large:again', 3000);
        assert(again.ok, `no append after room was made: ${JSON.stringify(again.error)}`);
        assertEqual(losses(path, [...acks, { mark: 'large:again', ...again.ok }]), [], 'losses');
        await driven.kill();
      },
    ],
    [
      `on ${place} several processes fill the disk and none is told a lie`,
      async () => {
        const point = make();
        const path = join(point, 'log.sage');
        const jobs = Array.from({ length: 4 }, (_, n) => ({
          path,
          client: `w${n}`,
          inFlight: 2,
          filler: place.startsWith('tmpfs') ? 2000 : 60_000,
          mayFail: true,
        }));
        const writers = await startWriters(jobs);
        for (const writer of writers) await writer.until(() => writer.refusals().length >= 5);
        for (const writer of writers) await writer.stop();
        const acks = writers.flatMap((writer) => writer.acks());
        const refused = writers.flatMap((writer) => writer.refusals());
        assert(acks.length > 0, 'nothing was acknowledged');
        assertEqual(losses(path, acks, refused), [], 'losses');
        for (const writer of writers) await writer.kill();
      },
    ],
    [
      `on ${place} a new chronicle on a full disk is refused`,
      async () => {
        const point = make();
        fill(point, 'ballast');
        const path = join(point, 'new.sage');
        const driven = Driven.start();
        const { error } = await driven.call('appendLarge', path, 'new', 50_000);
        assertFull(error, path, full);
        assertEqual(losses(path, [], ['new']), [], 'losses');
        rmSync(join(point, 'ballast'));
        settle(point);
        const { ok } = await driven.call('append', path, note('small'));
        assertEqual([ok?.offset, ok?.seq], [0, 1], 'receipt after room was made');
        await driven.kill();
      },
    ],
  ],
);

await suite('full-disk', [...tools, 'btrfs', 'mount', 'dd'], tests);
