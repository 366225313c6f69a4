// Odd places: process namespaces, layered and read-only file systems, files that may not change, no
// inodes left.
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageOf, mount } from './support/disk.mjs';
import { losses } from './support/losses.mjs';
import { Driven, note, Program, startWriters } from './support/program.mjs';
import { assert, assertEqual, later, run, suite } from './support/suite.mjs';

const writer = fileURLToPath(new URL('../writer-process.mjs', import.meta.url));

function refusal(answer) {
  const { error } = answer;
  return [error?.code, error?.written, error?.cause?.code];
}

async function finish(writers) {
  for (const each of writers) await each.ended;
  return writers.flatMap((each) => each.acks());
}

/** An ext4 whose files may carry attributes. */
function disk() {
  return mount(imageOf('ext4', 'place.img'), '-o', 'loop').point;
}

const tests = [
  [
    'writers that have the same process number in namespaces of their own exclude each other',
    async () => {
      const path = join(disk(), 'log.sage');
      const unshare = ['--pid', '--fork', '--kill-child', '--mount-proc', process.execPath, writer];
      const writers = Array.from({ length: 4 }, (_, n) => {
        const job = { path, client: `w${n}`, count: 100, inFlight: 2 };
        return new Program('unshare', [...unshare, JSON.stringify(job)]);
      });
      for (const each of writers) await each.line((line) => line === 'ready');
      for (const each of writers) each.send('go');
      const acks = await finish(writers);
      assertEqual(acks.length, 400, 'acknowledgements');
      assertEqual(losses(path, acks), [], 'losses');
    },
  ],
  [
    'an overlay whose log is copied up by the first append keeps every event',
    async () => {
      const base = disk();
      for (const name of ['lower', 'upper', 'work']) mkdirSync(join(base, name));
      writeFileSync(join(base, 'lower', 'log.sage'), `${JSON.stringify(note('below'))}\n`);
      const layers = ['lower', 'upper', 'work'].map((name) => join(base, name));
      const options = `lowerdir=${layers[0]},upperdir=${layers[1]},workdir=${layers[2]}`;
      const { point } = mount('overlay', '-t', 'overlay', '-o', options);
      const path = join(point, 'log.sage');
      const jobs = Array.from({ length: 4 }, (_, n) => ({ path, client: `w${n}`, count: 50 }));
      const acks = await finish(await startWriters(jobs));
      assertEqual(acks.length, 200, 'acknowledgements');
      const below = { mark: 'below', offset: 0, length: JSON.stringify(note('below')).length };
      assertEqual(losses(path, [below, ...acks]), [], 'losses');
    },
  ],
  [
    'a file that may not change refuses appends and repairs, and one that may only grow takes appends',
    async () => {
      const path = join(disk(), 'log.sage');
      writeFileSync(path, `${JSON.stringify(note('first'))}\nbad\n`);
      const before = readFileSync(path, 'utf8');
      const driven = Driven.start();
      later(() => run('chattr', '-i', '-a', path));
      run('chattr', '+i', path);
      assertEqual(
        refusal(await driven.call('append', path, note('never'))),
        ['EIO', 'no', 'EPERM'],
        'refusal',
      );
      run('chattr', '-i', path);
      run('chattr', '+a', path);
      const { ok } = await driven.call('append', path, note('second'));
      assertEqual([ok?.seq, ok?.durable], [2, true], 'receipt');
      const grown = readFileSync(path, 'utf8');
      assert(grown.startsWith(before), 'the bytes before changed');
      const { error } = await driven.call('repairChronicle', path);
      assertEqual([error?.code, error?.cause?.code], ['EIO', 'EPERM'], 'repair');
      assertEqual(readFileSync(path, 'utf8'), grown, 'what the repair left');
      await driven.kill();
    },
  ],
  [
    'a file system that became read-only refuses appends and can be read, and takes appends when it can be written again',
    async () => {
      const point = disk();
      const path = join(point, 'log.sage');
      const driven = Driven.start();
      assert((await driven.call('append', path, note('first'))).ok, 'no append');
      await driven.kill();
      run('mount', '-o', 'remount,ro', point);
      const reader = Driven.start();
      assertEqual(
        refusal(await reader.call('append', path, note('second'))),
        ['EIO', 'no', 'EROFS'],
        'refusal',
      );
      const { ok: events } = await reader.call('readChronicle', path);
      assertEqual(
        events.map(({ mark }) => mark),
        ['first'],
        'events',
      );
      run('mount', '-o', 'remount,rw', point);
      const { ok } = await reader.call('append', path, note('second'));
      assertEqual(ok?.seq, 2, 'seq');
      await reader.kill();
    },
  ],
  [
    'a log and a lock file of another owner in a sticky folder take appends and sessions',
    async () => {
      const rule = '/proc/sys/fs/protected_regular';
      const before = readFileSync(rule, 'utf8');
      try {
        writeFileSync(rule, '2');
      } catch {
        console.log(`SKIPPED places: the right to write ${rule} not found`);
        return;
      }
      later(() => writeFileSync(rule, before));
      const folder = join(disk(), 'sticky');
      mkdirSync(folder);
      chmodSync(folder, 0o1777);
      const path = join(folder, 'log.sage');
      for (const file of [path, join(folder, '.log.sage.chronicle-lock')]) {
        writeFileSync(file, '');
        chmodSync(file, 0o666);
        chownSync(file, 65534, 65534);
      }
      let refused;
      try {
        appendFileSync(path, '');
      } catch (error) {
        refused = error.code;
      }
      assertEqual(refused, 'EACCES', 'what the system says to an open that may create');
      const driven = Driven.start();
      const { ok, error } = await driven.call('append', path, note('first'));
      assertEqual([ok?.seq, error?.cause?.code], [1, undefined], 'receipt');
      const { ok: lock } = await driven.call('lock', [path]);
      assertEqual(lock, 0, 'lock');
      await driven.kill();
    },
  ],
  [
    'a log that is mounted as a file takes appends, and its repair names the mount point',
    async () => {
      const folder = disk();
      const [inside, outside] = ['in side.sage', 'outside.sage'].map((name) => join(folder, name));
      writeFileSync(outside, `${JSON.stringify(note('first'))}\nbad\n`);
      writeFileSync(inside, '');
      run('mount', '--bind', outside, inside);
      later(() => run('umount', inside));
      const driven = Driven.start();
      assert((await driven.call('append', inside, note('second'))).ok, 'no append');
      for (const createBackup of [true, false]) {
        const { error } = await driven.call('repairChronicle', inside, { createBackup });
        assertEqual([error?.code, error?.written], ['EIO', 'no'], 'repair');
        assert(error.message.includes(`the file ${inside} is a mount point`), error.message);
      }
      assertEqual(
        readdirSync(folder).filter((name) => /repair|backup|removed/.test(name)),
        [],
        'what the repair left',
      );
      const { ok } = await driven.call('repairChronicle', outside);
      assertEqual(ok?.repaired, true, 'repair by its own path');
      await driven.kill();
    },
  ],
  [
    'where no inode is left a new log is refused and leaves nothing behind',
    async () => {
      const { point } = mount('none', '-t', 'tmpfs', '-o', 'size=1m,nr_inodes=3');
      writeFileSync(join(point, 'one'), '');
      writeFileSync(join(point, 'two'), '');
      const path = join(point, 'log.sage');
      const driven = Driven.start();
      assertEqual(
        refusal(await driven.call('append', path, note('first'))),
        ['EIO', 'no', 'ENOSPC'],
        'refusal',
      );
      assert(!existsSync(path), 'the log is there');
      assertEqual(readdirSync(point).sort(), ['one', 'two'], 'files');
      run('rm', join(point, 'one'));
      const { ok } = await driven.call('append', path, note('first'));
      assertEqual(ok?.seq, 1, 'seq');
      await driven.kill();
    },
  ],
  [
    'a power cut during repairs leaves the old log or the new one, whole',
    async () => {
      for (let round = 0; round < 6; round += 1) {
        const image = imageOf('ext4', `repair${round}.img`);
        const live = mount(image, '-o', 'loop');
        const path = join(live.point, 'log.sage');
        const driven = Driven.start();
        const acks = [];
        for (let n = 0; n < 20; n += 1) {
          const { ok } = await driven.call('append', path, note(`event:${n}`));
          acks.push({ mark: `event:${n}`, ...ok });
        }
        run('sh', '-c', `printf 'bad\\n' >> ${path} && sync ${path}`);
        // The repair is not waited for: the image is copied at some moment of it.
        const repairing = driven.call('repairChronicle', path);
        await new Promise((resolve) => setTimeout(resolve, round));
        const copy = `${image}.cut`;
        run('cp', '--sparse=always', image, copy);
        later(() => run('rm', '-f', copy));
        await repairing;
        await driven.kill();
        live.unmount();
        const after = mount(copy, '-o', 'loop');
        const left = join(after.point, 'log.sage');
        assertEqual(losses(left, acks), [], `losses of round ${round}`);
        const text = readFileSync(left, 'utf8');
        const bad = text.endsWith('bad\n');
        assertEqual(text.length, acks.at(-1).offset + acks.at(-1).length + (bad ? 5 : 1), 'length');
        const next = Driven.start();
        assert((await next.call('append', left, note('after'))).ok, 'no append after the cut');
        await next.kill();
        after.unmount();
      }
    },
  ],
];

await suite('places', ['mkfs.ext4', 'mount', 'unshare', 'chattr', 'cp'], tests);
