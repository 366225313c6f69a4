import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether, within } from './child';
import { Driven } from './driven';
import { chronicle, failure, note, present, scratchFolder } from './scratch';

const scratch = scratchFolder();
const python = present('lock sessions and Python', 'python3');
const vim = present('lock sessions and an editor', 'vim');
const root = fileURLToPath(new URL('..', import.meta.url));
const { descriptorsOf } = createRequire(import.meta.url)('../lib/append/lock.js');

const patient = { lockTimeoutMs: 60_000 };
const once = { lockTimeoutMs: 0 };

/** What an editor does that saves by writing a new file and renaming it. */
function saveAs(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

function sideOf(folder: string, name: string): string {
  return `${folder}/.${name}.chronicle-lock`;
}

/** Somebody else's lock with `flock`, by Python. */
async function held(...paths: string[]): Promise<Child> {
  const holder = Child.python('hold_lock.py', ...paths);
  await holder.line((line) => line.startsWith('held'));
  return holder;
}

async function letGo(holder: Child): Promise<void> {
  holder.send('release');
  await endsWell([holder]);
}

/** Waits until Python finds the lock of the file at a path taken. */
async function seenLocked(path: string): Promise<void> {
  const seeker = Child.python('try_lock.py', path, '60');
  await startTogether([seeker]);
  await seeker.line((line) => line === 'blocked', 0, 90_000);
}

describe('a lock session', () => {
  it('excludes another one in another process until it is released', async () => {
    const path = scratch.path('log.sage');
    const other = new Driven();
    const lock = await chronicle.lockChronicles([path]);
    const { error } = await other.call('lock', [path], { lockTimeoutMs: 100 });
    expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path });
    expect(error?.waitedMs).toBeGreaterThanOrEqual(100);
    if (process.platform === 'linux') expect(error?.holderPid).toBe(process.pid);
    expect(error?.message).not.toContain('lock.append');

    const waiting = other.value('lock', [path], patient);
    await lock.release();
    const number = await waiting;
    expect(await failure(chronicle.lockChronicles([path], once))).toMatchObject({
      code: 'ELOCK_TIMEOUT',
    });
    await other.value('unlock', number);
    await (await chronicle.lockChronicles([path], patient)).release();
    await other.end();
  }, 60_000);

  it('makes appends of other processes wait, and appends itself meanwhile', async () => {
    const path = scratch.path('log.sage');
    const other = new Driven();
    const number = await other.value('lock', [path]);
    const error = await failure(chronicle.append(path, note('mine'), { lockTimeoutMs: 100 }));
    expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path, written: 'no' });
    if (process.platform === 'linux') expect(error.holderPid).toBe(other.child.pid);
    expect(error.message).not.toContain('lock.append');
    const waiting = chronicle.append(path, note('mine'), patient);
    const first = await other.value('lockAppend', number, path, note('theirs'));
    expect(first).toMatchObject({ seq: 1, offset: 0, durable: true });
    await other.value('unlock', number);
    expect(await waiting).toMatchObject({ seq: 2, offset: first.length + 1 });
    await other.end();
  }, 60_000);

  it('keeps a file that is being appended to as it is from its lock to its release', async () => {
    const path = scratch.path('log.sage');
    const other = new Driven();
    let over = false;
    const appending = (async () => {
      for (let n = 0; !over; n += 1) await other.value('append', path, note(`m:${n}`), patient);
    })();
    for (let round = 0; round < 10; round += 1) {
      const lock = await chronicle.lockChronicles([path], patient);
      const { size } = statSync(path);
      const error = await failure(chronicle.append(path, note('no'), { lockTimeoutMs: 30 }));
      expect(error.code).toBe('ELOCK_TIMEOUT');
      expect(statSync(path).size).toBe(size);
      const receipt = await lock.append(path, note(`own:${round}`));
      expect(receipt.offset).toBe(size);
      await lock.release();
    }
    over = true;
    await appending;
    await other.end();
    expect((await chronicle.verifyChronicle(path)).findings).toEqual([]);
  }, 60_000);

  it('makes an append of its own process wait too, whose message names lock.append', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path]);
    const error = await failure(chronicle.append(path, note('mine'), { lockTimeoutMs: 50 }));
    expect(error.code).toBe('ELOCK_TIMEOUT');
    expect(error.message).toContain('lock.append');
    const waiting = chronicle.append(path, note('mine'), patient);
    await lock.release();
    expect(await waiting).toMatchObject({ seq: 1 });
    const late = await held(path);
    const after = await failure(chronicle.append(path, note('late'), { lockTimeoutMs: 50 }));
    expect(after.message).not.toContain('lock.append');
    await letGo(late);
  }, 60_000);

  it.skipIf(!python)(
    'waits for a Python program that holds one file, and keeps it out',
    async () => {
      const path = scratch.path('notes.txt');
      const holder = await held(path);
      const error = await failure(chronicle.lockChronicles([path], { lockTimeoutMs: 100 }));
      expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path });
      if (process.platform === 'linux') expect(error.holderPid).toBe(holder.pid);
      const waiting = chronicle.lockChronicles([path], patient);
      await letGo(holder);
      const lock = await waiting;
      await seenLocked(path);
      await lock.release();
    },
    90_000,
  );

  it('that is shared lets others share the file and keeps writers out', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('before'));
    const other = new Driven();
    const theirs = await other.value('lock', [path], { mode: 'shared' });
    const lock = await chronicle.lockChronicles([path], { mode: 'shared', ...once });
    for (const attempt of [
      chronicle.append(path, note('mine'), { lockTimeoutMs: 50 }),
      chronicle.lockChronicles([path], { lockTimeoutMs: 50 }),
    ]) {
      expect((await failure(attempt)).code).toBe('ELOCK_TIMEOUT');
    }
    const refused = await failure(lock.append(path, note('mine')));
    expect(refused).toMatchObject({ code: 'EVALIDATION', written: 'no' });
    expect(await chronicle.readChronicle(path)).toHaveLength(1);
    await lock.release();
    expect((await failure(chronicle.lockChronicles([path], once))).code).toBe('ELOCK_TIMEOUT');
    await other.value('unlock', theirs);
    const sole = await chronicle.lockChronicles([path], patient);
    const { error } = await other.call('lock', [path], { mode: 'shared', ...once });
    expect(error?.code).toBe('ELOCK_TIMEOUT');
    await sole.release();
    await other.end();
  }, 60_000);

  it.skipIf(!python)(
    'holds none of its files while one of them is not free',
    async () => {
      const free = scratch.path('a.sage');
      const busy = scratch.path('b.sage');
      writeFileSync(free, '');
      const holder = await held(busy);
      const error = await failure(chronicle.lockChronicles([busy, free], { lockTimeoutMs: 100 }));
      expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path: busy });
      await (await chronicle.lockChronicles([free], once)).release();

      const waiting = chronicle.lockChronicles([free, busy], patient);
      for (let n = 0; n < 20; n += 1) await chronicle.append(free, note(`m:${n}`), patient);
      await letGo(holder);
      const lock = await waiting;
      for (const path of [free, busy]) {
        expect((await failure(chronicle.append(path, note('no'), once))).code).toBe(
          'ELOCK_TIMEOUT',
        );
      }
      await lock.release();
    },
    60_000,
  );

  it('takes two names of one file for one lock', async () => {
    const path = scratch.path('log.sage');
    const hard = scratch.path('hard.sage');
    const soft = scratch.path('soft.sage');
    writeFileSync(path, '');
    linkSync(path, hard);
    symlinkSync(path, soft);
    const lock = await chronicle.lockChronicles([path, hard, soft, path], once);
    // The same events by each name at once: the writers of the names take turns.
    const appends = Array.from({ length: 100 }, (_, n) =>
      [path, hard, soft].map((name) => lock.append(name, note(`m:${n}`))),
    ).flat();
    await Promise.all(appends);
    for (const name of [path, hard, soft]) {
      expect((await failure(chronicle.append(name, note('no'), once))).code).toBe('ELOCK_TIMEOUT');
    }
    // An editor replaces one of the names: the file is held on by the others.
    saveAs(hard, '');
    await lock.append(hard, note('new'));
    expect((await failure(chronicle.append(path, note('no'), once))).code).toBe('ELOCK_TIMEOUT');
    await lock.release();
    const { ok, records, findings } = await chronicle.verifyChronicle(path);
    expect({ ok, records, findings }).toEqual({ ok: true, records: 100, findings: [] });
    expect(await chronicle.readChronicle(hard)).toHaveLength(1);
  }, 60_000);

  it('is not taken by overlapping sets at once, whatever their order', async () => {
    const paths = ['a', 'b', 'c'].map((name) => scratch.path(`${name}.txt`));
    const counter = scratch.path('counter');
    writeFileSync(counter, '0');
    const others = [new Driven(), new Driven()];
    const [a = '', b = '', c = ''] = paths;
    const rounds = 15;
    const play = async (
      order: string[],
      lock: (order: string[]) => Promise<() => Promise<void>>,
    ) => {
      for (let round = 0; round < rounds; round += 1) {
        const release = await lock(order);
        const count = Number(readFileSync(counter, 'utf8'));
        await new Promise((resolve) => setImmediate(resolve));
        writeFileSync(counter, String(count + 1));
        await release();
      }
    };
    const own = async (order: string[]) => (await chronicle.lockChronicles(order, patient)).release;
    const by = (other: Driven) => async (order: string[]) => {
      const number = await other.value('lock', order, patient);
      return () => other.value('unlock', number);
    };
    await Promise.all([
      play([a, b], own),
      play([b, a, c], own),
      ...others.map((other, n) => play(n === 0 ? [c, b] : [b, c, a], by(other))),
    ]);
    expect(readFileSync(counter, 'utf8')).toBe(String(4 * rounds));
    for (const other of others) await other.end();
  }, 120_000);

  it('is tried for once with lockTimeoutMs 0', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path], once);
    const error = await failure(chronicle.lockChronicles([path], once));
    expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path });
    expect(error.waitedMs).toBeLessThan(10_000);
    await lock.release();
    await (await chronicle.lockChronicles([path], once)).release();
  });

  it('is aborted by its signal, with the reason as it is, and then no lock is held', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path]);
    const controller = new AbortController();
    const reason = { why: 'enough' };
    const waiting = failure(
      chronicle.lockChronicles([path], { ...patient, signal: controller.signal }),
    );
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    const late = chronicle.lockChronicles([path], { signal: controller.signal });
    expect(await failure(late)).toBe(reason);
    await lock.release();
    await (await chronicle.lockChronicles([path], once)).release();
  });

  it('lets the appends under way finish when it is released, and takes no more', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path]);
    const appends = Array.from({ length: 200 }, (_, n) => lock.append(path, note(`m:${n}`)));
    let settled = 0;
    for (const append of appends) void append.then(() => (settled += 1));
    const released = lock.release();
    const late = await failure(lock.append(path, note('late')));
    expect(late).toMatchObject({ code: 'ECLOSED', written: 'no' });
    expect(lock.release()).toBe(released);
    await released;
    expect(settled).toBe(200);
    expect(await chronicle.readChronicle(path)).toHaveLength(200);
    expect(descriptorsOf(lock)).toEqual([]);
  });

  it('has its appends waited for by flushSync', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path]);
    const appends = Array.from({ length: 50 }, (_, n) => lock.append(path, note(`m:${n}`)));
    expect(chronicle.flushSync({ timeoutMs: 60_000 })).toBe(true);
    expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(51);
    await Promise.all(appends);
    await lock.release();
  });

  it('appends as everywhere: duplicates, expected tails, options and paths are looked at', async () => {
    const path = scratch.path('log.sage');
    const first = await chronicle.append(path, note('a'));
    const lock = await chronicle.lockChronicles([path]);
    const again = await lock.append(path, note('a'));
    expect(again).toEqual({ ...first, duplicate: true });
    const refused = [
      [() => lock.append(path, note('b'), { expectedTail: null }), 'ECONFLICT'],
      [() => lock.append(path, { type: '' } as never), 'EVALIDATION'],
      [() => lock.append(path, note('b'), { nonsense: 1 } as never), 'EVALIDATION'],
      [() => lock.append(scratch.path('other.sage'), note('b')), 'EVALIDATION'],
      [() => lock.append(7 as never, note('b')), 'EVALIDATION'],
    ] as const;
    for (const [attempt, code] of refused) {
      expect(await failure(attempt())).toMatchObject({ code, written: 'no' });
    }
    const chained = await lock.append(path, note('b'), { chain: true });
    expect(chained.seq).toBe(2);
    await lock.release();
    const [, last] = await chronicle.readChronicle<{ prevEventId: string }>(path);
    expect(last?.prevEventId).toBe(first.eventId);
  });

  it('is free again when its holder is killed', async () => {
    const path = scratch.path('log.sage');
    const other = new Driven();
    await other.value('lock', [path]);
    const waiting = chronicle.lockChronicles([path], patient);
    other.child.kill('SIGKILL');
    await (await waiting).release();
    await other.child.ended;
  }, 60_000);

  it('is free again when its worker thread ends, in whatever way', async () => {
    for (const end of ['exit', 'terminate', 'return']) {
      const path = scratch.path(`${end}.sage`);
      const worker = new Worker(
        `const { parentPort } = require('node:worker_threads');
         const chronicle = require(${JSON.stringify(`${root}index.js`)});
         chronicle.lockChronicles([${JSON.stringify(path)}]).then((lock) => {
           globalThis.lock = lock;
           parentPort.once('message', () => ${end === 'exit' ? 'process.exit()' : '{}'});
           parentPort.postMessage('locked');
         });`,
        { eval: true },
      );
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      await new Promise((resolve) => worker.once('message', resolve));
      expect((await failure(chronicle.append(path, note('no'), once))).code).toBe('ELOCK_TIMEOUT');
      if (end === 'terminate') void worker.terminate();
      else worker.postMessage('end');
      await ended;
      await (await chronicle.lockChronicles([path], patient)).release();
    }
  }, 60_000);

  it('is free again when it is collected as garbage, and keeps no process alive', async () => {
    const path = scratch.path('log.sage');
    const script = `
      const chronicle = require('./index.js');
      (async () => {
        await chronicle.lockChronicles([${JSON.stringify(path)}]);
        await new Promise(setImmediate);
        gc();
        const again = await chronicle.lockChronicles([${JSON.stringify(path)}], { lockTimeoutMs: 60000 });
        console.log('locked again');
      })();`;
    const out = execFileSync(process.execPath, ['--expose-gc', '-e', script], {
      cwd: root,
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect(out).toBe('locked again\n');
  }, 90_000);

  it('lasts while a program lives that inherited its descriptors', async () => {
    const path = scratch.path('log.sage');
    const script = `
      const { lockChronicles } = require('./index.js');
      const { descriptorsOf } = require('./lib/append/lock.js');
      const { spawn } = require('node:child_process');
      lockChronicles([${JSON.stringify(path)}]).then((lock) => {
        const stdio = ['pipe', 'inherit', 'inherit', ...descriptorsOf(lock)];
        const heir = spawn(process.execPath, ['-e', 'process.stdin.resume(); process.stdin.on("error", () => {}); console.log("heir " + process.pid); setInterval(() => {}, 1000)'], { stdio, detached: true });
        globalThis.kept = [lock, heir];
      });`;
    const parent = spawn(process.execPath, ['-e', script], { cwd: root });
    let told = '';
    const heir = await new Promise<number>((resolve, reject) => {
      parent.on('exit', () => reject(new Error(`ended early: ${told}`)));
      parent.stderr.on('data', (text) => (told += text));
      parent.stdout.on('data', (text) => {
        told += text;
        const pid = /^heir (\d+)/m.exec(told)?.[1];
        if (pid) resolve(Number(pid));
      });
    });
    try {
      const gone = new Promise((resolve) => parent.once('exit', resolve));
      parent.kill('SIGKILL');
      await gone;
      for (const mode of ['exclusive', 'shared'] as const) {
        const error = await failure(chronicle.lockChronicles([path], { ...once, mode }));
        expect(error.code).toBe('ELOCK_TIMEOUT');
      }
    } finally {
      process.kill(heir, 'SIGKILL');
    }
    await (await chronicle.lockChronicles([path], patient)).release();
  }, 60_000);

  it('makes missing files and directories, and takes any regular file', async () => {
    const folder = scratch.folder();
    const paths = [`${folder}/new/deep/log.sage`, `${folder}/notes.md`, `${folder}/plain`];
    const lock = await chronicle.lockChronicles(paths, { anyExtension: false });
    expect(lock.paths).toEqual(paths);
    for (const path of paths) {
      expect(statSync(path).size).toBe(0);
      await lock.append(path, note('a'));
    }
    const side = readFileSync(sideOf(folder, 'plain'));
    expect(side.subarray(0, 16).toString('latin1')).toBe('SAGECHLK\x01\0\0\0\0\0\0\0');
    expect(side).toHaveLength(48);
    expect(statSync(sideOf(folder, 'plain')).mode).toBe(statSync(paths[2] ?? '').mode);
    if (typeof Symbol.asyncDispose === 'symbol') await lock[Symbol.asyncDispose]();
    expect((await failure(lock.append(paths[0] ?? '', note('b')))).code).toBe('ECLOSED');
    expect(readdirSync(folder).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  it('refuses what is no path, no regular file and no option, and touches nothing', async () => {
    const folder = scratch.folder();
    const pipe = scratch.path('pipe');
    execFileSync('mkfifo', [pipe]);
    mkdirSync(scratch.path('sub'));
    const before = readdirSync(folder);
    const wrong: unknown[][] = [
      [],
      ['a.sage'],
      [[]],
      [{ length: 1, 0: 'a.sage' }],
      [[7]],
      [['']],
      [['a\0b']],
      [['../a.sage']],
      [[`${folder}/sub`]],
      [[`${folder}/sub/`]],
      [[pipe]],
      [['\ud800']],
      [new Proxy([], { get: () => expect.fail('looked at') }), 7],
      [[`${folder}/x`], { lockTimeoutMs: -1 }],
      [[`${folder}/x`], { lockTimeoutMs: '1' }],
      [[`${folder}/x`], { mode: 'read' }],
      [[`${folder}/x`], { signal: {} }],
      [[`${folder}/x`], { durability: 'os' }],
      [[`${folder}/x`], 100],
    ];
    for (const [n, [paths, options]] of wrong.entries()) {
      const attempt = chronicle.lockChronicles(paths as string[], options as object);
      expect((await failure(attempt)).code, `arguments ${n}`).toBe('EVALIDATION');
    }
    expect(readdirSync(folder)).toEqual(before);
  });

  it('reports a side file that cannot be made as EIO, with the system’s code', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, '');
    symlinkSync('elsewhere', sideOf(scratch.folder(), 'log.sage'));
    const error = await failure(chronicle.lockChronicles([path]));
    expect(error).toMatchObject({ code: 'EIO', cause: { code: 'ELOOP' } });
    expect(existsSync(scratch.path('elsewhere'))).toBe(false);
  });
});

describe('a file that is replaced while its session holds it', () => {
  it.skipIf(!vim)(
    'by vim goes on being locked, and the append goes to the new file',
    async () => {
      const path = scratch.path('log.sage');
      await chronicle.append(path, note('a', { text: 'before' }), { computeId: false });
      const other = new Driven();
      const lock = await chronicle.lockChronicles([path]);
      const { ino } = statSync(path);
      const edit = [
        '-es',
        '-u',
        'NONE',
        '-c',
        'set backupcopy=no backupskip=',
        '-c',
        '%s/before/after/',
        '-c',
        'wq',
      ];
      execFileSync('vim', [...edit, path], { timeout: 60_000 });
      expect(statSync(path).ino).not.toBe(ino);
      const locked = await other.call('lock', [path], once);
      expect(locked.error?.code).toBe('ELOCK_TIMEOUT');
      expect(await lock.append(path, note('b'))).toMatchObject({ seq: 2 });
      const appended = await other.call('append', path, note('c'), once);
      expect(appended.error?.code).toBe('ELOCK_TIMEOUT');
      await lock.release();
      const events = await chronicle.readChronicle<{ mark: string; text?: string }>(path);
      expect(events.map(({ mark, text }) => [mark, text])).toEqual([
        ['a', 'after'],
        ['b', undefined],
      ]);
      await other.end();
    },
    60_000,
  );

  it('is locked by no other session, not even at that moment', async () => {
    const path = scratch.path('log.sage');
    const other = new Driven();
    const lock = await chronicle.lockChronicles([path]);
    for (let round = 0; round < 20; round += 1) {
      saveAs(path, `{"round":${round}}\n`);
      const { error } = await other.call('lock', [path], once);
      expect(error?.code).toBe('ELOCK_TIMEOUT');
    }
    await lock.release();
    await other.value('lock', [path], patient);
    await other.end();
  }, 60_000);

  it.skipIf(!python)(
    'is locked soon without an append, and the old file is let go',
    async () => {
      const path = scratch.path('log.sage');
      const old = scratch.path('old.sage');
      writeFileSync(path, '');
      linkSync(path, old);
      const lock = await chronicle.lockChronicles([path]);
      expect((await failure(chronicle.append(old, note('no'), once))).code).toBe('ELOCK_TIMEOUT');
      saveAs(path, '');
      await seenLocked(path);
      await chronicle.append(old, note('to the old'), patient);
      expect(statSync(path).size).toBe(0);
      await lock.release();
    },
    120_000,
  );

  it('costs no further descriptor however often that happens', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path]);
    await lock.append(path, note('first'));
    const open = () => readdirSync('/proc/self/fd').length;
    const before = process.platform === 'linux' ? open() : 0;
    for (let round = 0; round < 30; round += 1) {
      saveAs(path, '');
      expect(await lock.append(path, note(`m:${round}`))).toMatchObject({ seq: 1, offset: 0 });
    }
    expect(descriptorsOf(lock)).toHaveLength(2);
    if (process.platform === 'linux') expect(open()).toBeLessThan(before + 10);
    await lock.release();
  });

  it('or removed is made and locked by the next append', async () => {
    const path = scratch.path('log.sage');
    const other = new Driven();
    const lock = await chronicle.lockChronicles([path]);
    await lock.append(path, note('a'));
    unlinkSync(path);
    expect(await lock.append(path, note('a'))).toMatchObject({ seq: 1, duplicate: false });
    const { error } = await other.call('append', path, note('b'), once);
    expect(error?.code).toBe('ELOCK_TIMEOUT');
    await lock.release();
    await other.end();
  }, 60_000);

  it.skipIf(!python)(
    'and so is its lock file: the new one is locked as soon as it is seen',
    async () => {
      const path = scratch.path('log.sage');
      const side = sideOf(scratch.folder(), 'log.sage');
      const lock = await chronicle.lockChronicles([path]);
      unlinkSync(side);
      // The seeker makes it; the session finds and locks it.
      await seenLocked(side);
      await lock.release();
      await (await chronicle.lockChronicles([path], patient)).release();
    },
    120_000,
  );

  it('by a link to another one: both that and its lock file are locked', async () => {
    const path = scratch.path('link.sage');
    const [first, second] = [scratch.path('first.sage'), scratch.path('second.sage')];
    writeFileSync(first, '');
    writeFileSync(second, '');
    symlinkSync(first, path);
    const lock = await chronicle.lockChronicles([path]);
    symlinkSync(second, `${path}.new`);
    renameSync(`${path}.new`, path);
    await lock.append(path, note('a'));
    expect(await chronicle.readChronicle(second)).toHaveLength(1);
    const error = await failure(chronicle.lockChronicles([second], once));
    expect(error.code).toBe('ELOCK_TIMEOUT');
    await (await chronicle.lockChronicles([first], patient)).release();
    await lock.release();
  }, 60_000);
});

describe('the predecessor’s names', () => {
  it('acquireLock takes the lock of the file itself, and cleanStaleLocks touches nothing', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.acquireLock(path);
    expect(Object.keys(lock)).toEqual(['fd', 'path', 'release']);
    expect(lock.path).toBe(path);
    expect(Number.isInteger(lock.fd) && lock.fd > 2).toBe(true);
    expect((await failure(chronicle.acquireLock(path, 0))).code).toBe('ELOCK_TIMEOUT');
    expect((await failure(chronicle.append(path, note('a'), once))).code).toBe('ELOCK_TIMEOUT');
    await lock.release();
    await lock.release();
    await within(chronicle.append(path, note('a'), patient), 60_000, 'the lock was not released');
    const files = () => readdirSync(scratch.folder()).sort();
    writeFileSync(`${path}.lock`, 'of the predecessor');
    const before = files();
    expect(await chronicle.cleanStaleLocks(path)).toBe(undefined);
    expect(await chronicle.cleanStaleLocks(7 as never)).toBe(undefined);
    expect(files()).toEqual(before);
    expect((await failure(chronicle.acquireLock(path, 'soon' as never))).code).toBe('EVALIDATION');
  }, 90_000);
});
