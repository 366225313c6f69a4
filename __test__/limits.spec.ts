import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, within } from './child';
import { Driven } from './driven';
import { chronicle, failure, isLong, note, present, scratchFolder, skipped } from './scratch';

const prlimit = present('process limits', 'prlimit');
const python = present('pending bytes', 'python3');
const scratch = scratchFolder();
const linux = process.platform === 'linux';

function limit(child: Child, what: string): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(child.pid), what]);
  if (status !== 0) throw new Error(`prlimit ${what}: ${String(stderr)}`);
}

/** Whether a link of a folder that changes leads there. */
function leadsTo(link: string, path: string): boolean {
  try {
    return readlinkSync(link) === path;
  } catch {
    return false;
  }
}

describe.skipIf(!prlimit)('a process at its limits', () => {
  it('rolls back a write beyond the file size limit and appends again when it is lifted', async () => {
    const path = scratch.path('log.sage');
    const driven = new Driven();
    const first = await driven.value('append', path, note('first'));
    const size = first.length + 1;
    limit(driven.child, `--fsize=${size + 1000}:unlimited`);
    for (const mark of ['large:1', 'large:2']) {
      const { error } = await driven.call('appendLarge', path, mark, 5000);
      expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'EFBIG' }, path });
      expect(statSync(path).size).toBe(size);
    }
    const small = await driven.value('append', path, note('small'));
    expect(small).toMatchObject({ offset: size, seq: 2, duplicate: false });
    limit(driven.child, '--fsize=unlimited:unlimited');
    const large = await driven.value('appendLarge', path, 'large:1', 5000);
    expect(large).toMatchObject({ seq: 3, duplicate: false });
    await driven.end();
    const events = await chronicle.readChronicle<any>(path);
    expect(events.map((event) => event.mark)).toEqual(['first', 'small', 'large:1']);
  }, 30_000);

  it('without a free descriptor rejects with EMFILE and appends again when one is free', async () => {
    const path = scratch.path('log.sage');
    const driven = new Driven();
    await driven.value('append', scratch.path('known.sage'), note('known'));
    limit(driven.child, `--nofile=3:`);
    const { error } = await driven.call('append', path, note('a'));
    expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'EMFILE' } });
    expect(existsSync(path)).toBe(false);
    const read = await driven.call('readChronicle', scratch.path('known.sage'));
    expect(read.error).toMatchObject({ code: 'EIO', cause: { code: 'EMFILE' } });
    limit(driven.child, '--nofile=1024:');
    expect(await driven.value('append', path, note('a'))).toMatchObject({ seq: 1, offset: 0 });
    await driven.end();
  }, 30_000);
});

describe('what is no regular file', () => {
  const refused = async (path: string) => {
    // Each has its handler before the first is awaited.
    const errors = [
      chronicle.append(path, note('a')),
      chronicle.readChronicle(path),
      chronicle.tailChronicle(path, 1),
    ].map(failure);
    for (const error of await within(Promise.all(errors), 10_000, 'no refusal')) {
      expect(error).toMatchObject({ code: 'EVALIDATION', path });
    }
  };

  it.skipIf(!linux)('a device behind a symlink is refused before anything is written', async () => {
    for (const device of ['/dev/full', '/dev/null']) {
      const path = scratch.path(`${device.slice(5)}.sage`);
      symlinkSync(device, path);
      await refused(path);
    }
  });

  it('a FIFO without a partner is refused at once, one with a reader gets nothing', async () => {
    const path = scratch.path('fifo.sage');
    if (spawnSync('mkfifo', [path]).status !== 0) return skipped('fifo', 'mkfifo not found');
    await refused(path);
    const reader = new Child('cat', [path]);
    await refused(path);
    reader.kill('SIGKILL');
    await reader.ended;
    expect(reader.lines).toEqual([]);
  }, 60_000);

  it('a directory and a socket are refused', async () => {
    const directory = scratch.path('directory.sage');
    mkdirSync(directory);
    await refused(directory);
    expect(readdirSync(directory)).toEqual([]);
    const path = scratch.path('socket.sage');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    try {
      await refused(path);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it.each([
    ['ELOOP', (path: string) => symlinkSync(path, path)],
    ['ENOTDIR', (path: string) => writeFileSync(path.slice(0, path.lastIndexOf('/')), '')],
  ])('the system is quoted with %s', async (code, arrange) => {
    const path = code === 'ELOOP' ? scratch.path('loop.sage') : scratch.path('file/log.sage');
    arrange(path);
    const error = await failure(chronicle.append(path, note('a')));
    expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code } });
  });

  it('a name that is too long is an error of the system', async () => {
    const path = scratch.path(`${'n'.repeat(300)}.sage`);
    const error = await failure(chronicle.append(path, note('a')));
    expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'ENAMETOOLONG' } });
  });
});

describe('links, owners and directories', () => {
  it('symlinks and hard links to a log stay what they are and show every event', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('a'));
    const soft = scratch.path('soft.sage');
    const hard = scratch.path('hard.sage');
    symlinkSync(path, soft);
    linkSync(path, hard);
    expect(await chronicle.append(soft, note('b'))).toMatchObject({ seq: 2 });
    expect(await chronicle.append(hard, note('c'))).toMatchObject({ seq: 3 });
    expect(await chronicle.append(path, note('b'))).toMatchObject({ seq: 2, duplicate: true });
    expect(lstatSync(soft).isSymbolicLink()).toBe(true);
    expect(statSync(hard).ino).toBe(statSync(path).ino);
    for (const name of [path, soft, hard]) {
      expect(await chronicle.readChronicle(name)).toHaveLength(3);
    }
  });

  it('mode and inode survive an append', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, '', { mode: 0o640 });
    chmodSync(path, 0o640);
    const { ino } = statSync(path);
    await chronicle.append(path, note('a'));
    expect(statSync(path)).toMatchObject({ ino });
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  it('a directory that was removed is made again', async () => {
    const path = scratch.path('deep/er/log.sage');
    await chronicle.append(path, note('a'));
    rmSync(scratch.path('deep'), { recursive: true });
    expect(await chronicle.append(path, note('a'))).toMatchObject({ duplicate: false, seq: 1 });
    expect(await chronicle.readChronicle(path)).toHaveLength(1);
  });

  it.skipIf(!linux)(
    'a program that is started meanwhile inherits no descriptor of a log',
    async () => {
      const path = realpathSync(scratch.folder()) + '/log.sage';
      await chronicle.append(path, note('a'));
      const records = chronicle.followChronicle(path);
      await records.next();
      const open = () =>
        readdirSync('/proc/self/fd').filter((fd) => leadsTo(`/proc/self/fd/${fd}`, path));
      expect(open().length).toBeGreaterThan(0);
      const { stdout } = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' });
      expect(stdout).toContain('/proc/');
      expect(stdout).not.toContain(path);
      await records.return?.();
    },
  );

  it('an append to a relative path in a removed working directory is an error, not a crash', async () => {
    const gone = scratch.path('gone');
    mkdirSync(gone);
    const driven = new Driven(['sh', '-c', `cd '${gone}' && exec "$@"`, 'sh']);
    await driven.value('append', `${gone}/a.sage`, note('a'));
    rmSync(gone, { recursive: true });
    const { error } = await driven.call('append', 'b.sage', note('b'));
    expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'ENOENT' } });
    await driven.end();
  }, 30_000);
});

describe('a user without permission', () => {
  it('rejects with EACCES and writes nothing, and the next append works once the right is granted', async () => {
    const open = scratch.folder();
    chmodSync(open, 0o777);
    const root = process.getuid?.() === 0;
    const command = root ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
    if (root && !present('permissions', 'setpriv')) return;
    if (
      root &&
      spawnSync(command[0] ?? '', [
        ...command.slice(1),
        process.execPath,
        '-e',
        `require(${JSON.stringify(new URL('../index.js', import.meta.url).pathname)})`,
      ]).status !== 0
    ) {
      return skipped('permissions', 'a package that another user may read not found');
    }
    const driven = new Driven(command);
    const locked = scratch.path('locked');
    mkdirSync(locked);
    chmodSync(locked, 0o555);
    const unreadable = scratch.path('unreadable.sage');
    const readonly = scratch.path('readonly.sage');
    writeFileSync(unreadable, '');
    chmodSync(unreadable, 0o000);
    writeFileSync(readonly, '');
    chmodSync(readonly, 0o444);
    for (const path of [`${locked}/log.sage`, `${locked}/new/log.sage`, unreadable, readonly]) {
      const { error } = await driven.call('append', path, note('a'));
      expect(error, path).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'EACCES' } });
    }
    expect(readdirSync(locked)).toEqual([]);
    const read = await driven.call('readChronicle', unreadable);
    expect(read.error).toMatchObject({ code: 'EIO', cause: { code: 'EACCES' } });
    expect(await driven.value('readChronicle', readonly)).toEqual([]);

    chmodSync(unreadable, 0o666);
    expect(await driven.value('append', unreadable, note('a'))).toMatchObject({ seq: 1 });
    // An append must not need the directory of a file that is there.
    writeFileSync(`${locked}/shared.sage`, '');
    chmodSync(`${locked}/shared.sage`, 0o666);
    chmodSync(locked, 0o555);
    expect(await driven.value('append', `${locked}/shared.sage`, note('a'))).toMatchObject({
      seq: 1,
    });
    await driven.end();
    chmodSync(locked, 0o755);
  }, 30_000);
});

const chronicles = isLong ? 10_000 : 2_000;
describe.skipIf(!linux)(`${chronicles} chronicles in one process`, () => {
  it('take at most 8 threads and 256 descriptors, and each is remembered', async () => {
    const driven = new Driven();
    const before = await driven.value('used');
    const spread = await driven.value('spread', scratch.folder(), chronicles);
    expect(spread).toMatchObject({ appended: chronicles, duplicates: 0 });
    expect(spread.most.threads - before.threads).toBeLessThanOrEqual(8);
    expect(spread.most.descriptors - before.descriptors).toBeLessThanOrEqual(256);
    const again = await driven.value('spread', scratch.folder(), chronicles, 7);
    expect(again.duplicates).toBe(again.appended);
    await driven.end();
  }, 180_000);
});

describe.skipIf(!python)('more pending than the process may hold', () => {
  it('is refused with ENOBUFS, and the next append works', async () => {
    const path = scratch.path('log.sage');
    const driven = new Driven();
    const holder = Child.python('hold_lock.py', path);
    await holder.line((line) => line.startsWith('held'));
    const options = { lockTimeoutMs: 4000, computeId: false };
    const calls = Array.from({ length: 36 }, (_, n) =>
      driven.call('appendLarge', path, `large:${n}`, 8 << 20, options),
    );
    const errors = (await Promise.all(calls)).map(({ error }) => error);
    const full = errors.filter((error) => error?.cause?.code === 'ENOBUFS');
    expect(full.length).toBeGreaterThanOrEqual(4);
    for (const error of full) expect(error).toMatchObject({ code: 'EIO', written: 'no' });
    const late = errors.filter((error) => error?.code === 'ELOCK_TIMEOUT');
    expect(late.length).toBe(36 - full.length);
    expect(late.length).toBeGreaterThanOrEqual(28);
    expect(statSync(path).size).toBe(0);
    holder.send('release');
    await endsWell([holder]);
    expect(await driven.value('append', path, note('small'))).toMatchObject({ offset: 0 });
    await driven.end();
  }, 60_000);
});
