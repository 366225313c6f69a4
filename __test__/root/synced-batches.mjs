// A device that fails and heals under a log whose lines are shipped: `synced` gives nothing that a
// power cut takes.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tools } from './support/disk.mjs';
import { afterCut, failingDisk } from './support/failing-disk.mjs';
import { Driven } from './support/program.mjs';
import { assert, assertEqual, suite } from './support/suite.mjs';

const fillers = [0, 700, 5000, 3_000_000];
/** Of a longer record some pages may leave the cache by themselves, so that no reader sees it. */
const MAX_CONTROLLED = 5000;

/** A log on a good device, with one record, and the process that appended it. */
async function begin(filler) {
  const disk = await failingDisk('ext4', '-O', '^has_journal');
  const path = join(disk.point, 'log.sage');
  const writer = Driven.start();
  const append = (driven, mark, options = {}) =>
    driven.call('appendLarge', path, mark, filler, options);
  assert((await append(writer, 'before')).ok, 'no append on a good device');
  return { disk, path, writer, append };
}

/** The marks of the records that are in the file after a power cut. */
async function marksAfterCut(disk, programs) {
  const place = await afterCut(disk, programs, 'log.sage');
  assert(existsSync(place), 'the file is gone');
  const marks = readFileSync(place)
    .toString('latin1')
    .split('\n')
    .map((line) => {
      try {
        return JSON.parse(line).mark;
      } catch {
        return undefined;
      }
    });
  return new Set(marks);
}

function assertHas(there, given) {
  const lost = given.filter((mark) => !there.has(mark));
  assertEqual(lost, [], 'given and gone after a power cut');
}

/** A failed sync was reported to the writer alone. */
async function ofAnother(filler) {
  const { disk, path, writer, append } = await begin(filler);
  disk.fail();
  const failed = await append(writer, 'during');
  assertEqual(failed.error?.cause?.code, 'EIO', 'the append on the failing device');
  disk.heal();
  const [trusting, syncing, reader, other] = Array.from({ length: 4 }, () => Driven.start());
  const unsynced = (await trusting.call('batches', path)).ok;
  const merelySynced = (await syncing.call('syncAndRead', path)).ok;
  const synced = (await reader.call('batches', path, { synced: true })).ok;
  assert((await append(other, 'after')).ok, 'no append on the healed device');
  const later = (await reader.call('batches', path, { synced: true })).ok;
  const there = await marksAfterCut(disk, [writer, trusting, syncing, reader, other]);
  return { unsynced, merelySynced, synced, later, there };
}

/** A failed sync is reported to the reader itself. */
async function ofItsOwn(filler) {
  const { disk, path, writer, append } = await begin(filler);
  const reader = Driven.start();
  const number = (await reader.call('followBatches', path, { synced: true })).ok;
  const first = (await reader.call('nextBatch', number)).ok;
  assertEqual(first.marks, ['before'], 'the first batch');
  const coming = reader.call('nextBatch', number);
  disk.fail();
  assert((await append(writer, 'during', { durability: 'os' })).ok, 'no append to the cache');
  const { error } = await coming;
  assertEqual([error?.code, error?.cause?.code], ['EIO', 'EIO'], 'the batch on the failing device');
  assert(error.message.includes('fdatasync'), `no failed sync: ${error.message}`);
  disk.heal();
  const from = { cursor: first.cursor };
  const trusting = Driven.start();
  const unsynced = (await trusting.call('batches', path, { from })).ok;
  const again = (await reader.call('batches', path, { from, synced: true })).ok;
  const other = Driven.start();
  assert((await append(other, 'after')).ok, 'no append on the healed device');
  const later = (await reader.call('batches', path, { from, synced: true })).ok;
  const there = await marksAfterCut(disk, [writer, reader, trusting, other]);
  return { unsynced, again, later, there };
}

await suite(
  'synced-batches',
  [...tools, 'mount', 'nbdkit', 'nbdfuse'],
  fillers.flatMap((filler) => [
    [
      `with records of ${filler} bytes more, what is only in the cache because of somebody's failed sync is not given`,
      async () => {
        const { unsynced, merelySynced, synced, later, there } = await ofAnother(filler);
        assertHas(there, [...synced, ...later]);
        assertEqual(synced, ['before'], 'given by the synced reader');
        assertEqual(later, ['before', 'after'], 'given once more was appended');
        // The controls give what the disk lacks, so that this can fail.
        assertEqual(there.has('during'), false, 'the record of the failed sync is on the disk');
        if (filler > MAX_CONTROLLED) return;
        assertEqual(unsynced, ['before', 'during'], 'given without a sync');
        assertEqual(merelySynced, ['before', 'during'], 'given by a sync without reading again');
      },
    ],
    [
      `with records of ${filler} bytes more, a failed sync of the reader ends it, and the next one gives what the disk holds`,
      async () => {
        const { unsynced, again, later, there } = await ofItsOwn(filler);
        assertHas(there, [...again, ...later]);
        assertEqual(later, ['after'], 'given once more was appended');
        assertEqual(there.has('during'), false, 'the record of the failed sync is on the disk');
        if (filler > MAX_CONTROLLED) return;
        assertEqual(unsynced, ['during'], 'given without a sync');
      },
    ],
  ]),
);
