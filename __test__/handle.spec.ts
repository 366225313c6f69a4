// openChronicle: the functions without the path, a cache, validation, a clock, and an end.
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { readlinkSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { append, flushSync, openChronicle, readChronicle } from '../index.mjs';
import type { Chronicle, Receipt } from '../index.mjs';
import { Child } from './child.js';
import { present, scratchFolder } from './scratch.js';
import { event, expectCode, folder, freshPath, linesOf, rejection, warningsOf } from './support.js';

const scratch = scratchFolder();
const flock = present('handle', 'flock');
const noon = '2026-01-01T12:00:00.000Z';

/** An open chronicle that is closed when the test ends. */
const opened: typeof openChronicle = (async (path: string, options?: object) => {
  const log = await openChronicle(path, options);
  onTestFinished(() => log.close());
  return log;
}) as never;

const numbered = (n: number) => event({ n });
const numbers = (events: readonly object[]) => events.map((each) => (each as { n: number }).n);

/** Everything that an iterator gives. */
async function all<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const each of iterable) seen.push(each);
  return seen;
}

const methods = ['append', 'appendMany', 'close', 'count', 'follow', 'query', 'read', 'stream'];

describe('openChronicle', () => {
  it('gives exactly the methods that are promised', async () => {
    const log = await opened(freshPath());
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(log));
    expect(names.filter((name) => name !== 'constructor').sort()).toEqual([
      ...methods.filter((name) => name < 'path'),
      'path',
      ...methods.filter((name) => name > 'path'),
      'tail',
      'verify',
    ]);
    expect(Object.keys(log)).toEqual([]);
    expect(Object.getOwnPropertySymbols(Object.getPrototypeOf(log))).toEqual([
      inspect.custom,
      Symbol.asyncDispose,
    ]);
    expect(inspect({ log })).toBe(`{ log: Chronicle { path: ${JSON.stringify(log.path)} } }`);
  });

  it('does without the file, and makes none', async () => {
    const path = join(folder(), 'deep', 'log.sage');
    const log = await opened(path);
    expect(await log.read()).toEqual([]);
    expect(await log.tail()).toEqual([]);
    expect(await log.count({})).toBe(0);
    expect(await all(log.stream())).toEqual([]);
    expect(existsSync(dirname(path))).toBe(false);
    await log.append(numbered(1));
    expect(numbers(await log.read())).toEqual([1]);
  });

  it('refuses what can be no chronicle', async () => {
    const base = folder();
    const directory = join(base, 'folder.sage');
    mkdirSync(directory);
    const fifo = join(base, 'fifo.sage');
    execFileSync('mkfifo', [fifo]);
    const paths = ['', 'x', 'x.txt', '../x.sage', `${directory}/`, directory, fifo, 5, null];
    for (const path of paths) {
      expectCode(await rejection(openChronicle(path as string)), 'EVALIDATION');
    }
    const below = join(base, 'file', 'log.sage');
    writeFileSync(join(base, 'file'), '');
    expectCode(await rejection(openChronicle(below)), 'EIO');
    const loop = join(base, 'loop.sage');
    symlinkSync(loop, loop);
    expect((await rejection(openChronicle(loop))).cause.code).toBe('ELOOP');
  });

  it('refuses options that are wrong or unknown', async () => {
    const path = freshPath();
    const wrong = [
      null,
      5,
      { validate: 'strict' },
      { validate: true },
      { validate: {} },
      { validate: { '~standard': { version: 1, vendor: 'x' } } },
      { validate: { '~standard': { version: 2, vendor: 'x', validate: () => ({ value: {} }) } } },
      { clock: {} },
      { anyExtension: 'yes' },
      { cache: true },
    ];
    for (const options of wrong) {
      expectCode(await rejection(openChronicle(path, options as never)), 'EVALIDATION');
    }
  });

  it('keeps to the file that the path meant when it was opened', async () => {
    const base = folder();
    const before = process.cwd();
    process.chdir(base);
    let opening;
    try {
      opening = opened('log.sage');
    } finally {
      process.chdir(before);
    }
    const log = await opening;
    await log.append(numbered(1));
    expect(numbers(await log.read())).toEqual([1]);
    expect(numbers(await log.tail())).toEqual([1]);
    expect(linesOf(join(base, 'log.sage'))).toHaveLength(1);
  });

  it('takes any extension where that is asked for, in every method', async () => {
    const path = join(folder(), 'plans');
    const log = await opened(path, { anyExtension: true });
    await log.append(numbered(1));
    await log.appendMany([numbered(2)]);
    expect(await log.appendMany([])).toEqual([]);
    expect(numbers(await log.read())).toEqual([1, 2]);
    expect(numbers(await log.read({ onBadLine: 'throw' }))).toEqual([1, 2]);
    expect(numbers(await log.tail(1))).toEqual([2]);
    expect(numbers(await all(log.stream()))).toEqual([1, 2]);
    expect(numbers(await log.query({ type: 'TEST_EVENT' }))).toEqual([1, 2]);
    expect(await log.count({ type: 'TEST_EVENT' })).toBe(2);
    expect((await log.verify()).ok).toBe(true);
    const following = log.follow({ from: 'start' });
    expect(numbers([(await following.next()).value])).toEqual([1]);
    await following.return?.();
  });

  it('does not warn of bad lines when it opens', async () => {
    const path = freshPath();
    writeFileSync(path, '{"n":1}\nbad\n');
    const seen = await warningsOf('CHRONICLE_BAD_LINES', () => opened(path));
    expect(seen).toEqual([]);
  });
});

describe('the cache', () => {
  it('returns the events appended since, by any writer, in a new array', async () => {
    const path = freshPath();
    const log = await opened(path);
    for (let n = 0; n < 5; n += 1) {
      await log.append(numbered(2 * n));
      await append(path, numbered(2 * n + 1));
      const events = await log.read();
      expect(numbers(events)).toEqual(Array.from({ length: 2 * n + 2 }, (_, i) => i));
      events.length = 0;
    }
    expect(await log.read()).toEqual(await readChronicle(path));
  });

  it('reads a record once: what is before it is not read again', async () => {
    const path = freshPath();
    const log = await opened(path);
    await log.appendMany(Array.from({ length: 50 }, (_, n) => numbered(n)));
    const before = await log.read();
    await append(path, numbered(50));
    const after = await log.read();
    expect(after).toHaveLength(51);
    for (const [index, each] of before.entries()) expect(after[index]).toBe(each);
  });

  it('returns events that no reader can change for the next one', async () => {
    const log = await opened(freshPath());
    await log.append({ ...numbered(1), deep: { list: [{ a: 1 }] } });
    const [first] = (await log.read()) as any[];
    for (const part of [first, first.actor, first.deep, first.deep.list, first.deep.list[0]]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
    const own = structuredClone(first);
    own.actor.id = 'changed';
    expect(((await log.read()) as any[])[0].actor.id).toBe('one');
  });

  it('returns positions', async () => {
    const path = freshPath();
    const log = await opened(path);
    await log.appendMany([1, 2].map(numbered));
    await log.read();
    await log.append(numbered(3));
    const read = await log.read({ positions: true });
    expect(read).toEqual(await readChronicle(path, { positions: true }));
  });

  it('sees an append that was resolved before the call, however many read at the time', async () => {
    const path = freshPath();
    const log = await opened(path);
    const reads: Promise<void>[] = [];
    for (let n = 1; n <= 40; n += 1) {
      await append(path, numbered(n), { durability: 'os' });
      for (let times = 0; times < 3; times += 1) {
        const reading = log.read().then((events) => {
          expect(events.length).toBeGreaterThanOrEqual(n);
          expect(numbers(events)).toEqual(Array.from(events, (_, index) => index + 1));
        });
        reads.push(reading);
      }
    }
    await Promise.all(reads);
  });

  it('reads a truncated, replaced, deleted or changed file from the start', async () => {
    const path = freshPath();
    const log = await opened(path);
    const read = async () => numbers(await log.read());
    await log.appendMany([1, 2, 3].map(numbered));
    expect(await read()).toEqual([1, 2, 3]);

    truncateSync(path, readFileSync(path).indexOf('\n') + 1);
    expect(await read()).toEqual([1]);

    writeFileSync(`${path}.new`, '{"n":7}\n{"n":8}\n');
    renameSync(`${path}.new`, path);
    expect(await read()).toEqual([7, 8]);

    rmSync(path);
    expect(await read()).toEqual([]);
    await log.append(numbered(9));
    expect(await read()).toEqual([9]);

    // The same file, the same length, another history.
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('"n":9', '"n":5'));
    expect(await read()).toEqual([5]);
  });

  it('takes an unterminated record as one, and what follows it', async () => {
    const path = freshPath();
    const log = await opened(path);
    writeFileSync(path, '{"n":1}\n{"n":2}');
    expect(numbers(await log.read())).toEqual([1, 2]);
    appendFileSync(path, '\n{"n":3}\n{"n":');
    expect(numbers(await log.read())).toEqual([1, 2, 3]);
    appendFileSync(path, '4}\n');
    expect(numbers(await log.read())).toEqual([1, 2, 3, 4]);
  });

  it('leaves bad lines out, and reads again for callers that want bad lines', async () => {
    const path = freshPath();
    const log = await opened(path);
    writeFileSync(path, '{"n":1}\nbad\n{"n":2}\n');
    expect(numbers(await log.read())).toEqual([1, 2]);
    expect(await log.read({ onBadLine: 'skip' })).toHaveLength(2);
    const bad: number[] = [];
    await log.read({ onBadLine: ({ line }) => bad.push(line) });
    expect(bad).toEqual([2]);
    const error = await rejection(log.read({ onBadLine: 'throw' }));
    expect(expectCode(error, 'ECORRUPT')).toMatchObject({ line: 2, offset: 8 });
  });

  it('is not affected by an aborted read', async () => {
    const path = freshPath();
    const log = await opened(path);
    await log.appendMany(Array.from({ length: 2000 }, (_, n) => numbered(n)));
    const controller = new AbortController();
    const givenUp = rejection(log.read({ signal: controller.signal }));
    const patient = log.read();
    controller.abort('enough');
    expect(await givenUp).toBe('enough');
    expect(await patient).toHaveLength(2000);
  });

  it('continues after a failure at its last position', async () => {
    const path = freshPath();
    const log = await opened(path);
    await log.append(numbered(1));
    const [first] = await log.read();
    renameSync(path, `${path}.aside`);
    mkdirSync(path);
    expectCode(await rejection(log.read()), 'EVALIDATION');
    rmSync(path, { recursive: true });
    renameSync(`${path}.aside`, path);
    await log.append(numbered(2));
    const events = await log.read();
    expect(numbers(events)).toEqual([1, 2]);
    expect(events[0]).toBe(first);
  });
});

/** A schema as the specification has it; `check` gives what zod, valibot or arktype would. */
const schema = (check: (value: any) => any) => ({
  '~standard': { version: 1 as const, vendor: 'test', validate: check },
});
const wantsNumber = (value: any) =>
  typeof value.n === 'number'
    ? { value: { ...value, checked: true } }
    : { issues: [{ message: 'not a number', path: ['n'] }] };

describe('validation', () => {
  it('is of what is appended: what others wrote is read as it is', async () => {
    const path = freshPath();
    writeFileSync(path, '{"persona":"p","timestamp":1700000000000}\n');
    const log = await opened(path, { validate: schema(wantsNumber) });
    expect(await log.read()).toEqual([{ persona: 'p', timestamp: 1700000000000 }]);
  });

  it('keeps the order of calls where the schema is synchronous', async () => {
    const path = freshPath();
    const log = await opened(path, { validate: schema(wantsNumber) });
    const appended = Array.from({ length: 50 }, (_, n) => log.append({ type: 'X', n }));
    // They were handed over during the calls.
    expect(flushSync()).toBe(true);
    expect(linesOf(path)).toHaveLength(50);
    await Promise.all(appended);
    const stored = linesOf(path).map((line) => JSON.parse(line));
    expect(numbers(stored)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });
});

describe('closing', () => {
  it.skipIf(!flock)('lets accepted appends finish, those that wait for the lock too', async () => {
    const path = scratch.path('log.sage');
    await append(path, event());
    const log = await openChronicle(path);
    const holder = new Child('flock', ['--no-fork', path, 'sh', '-c', 'echo locked; read line']);
    await holder.line((line) => line === 'locked');
    const appended = log.append(numbered(1), { lockTimeoutMs: 50_000 });
    let settled = false;
    void appended.then(() => (settled = true));
    const closed = log.close().then(() => settled);
    expectCode(await rejection(log.append(numbered(2))), 'ECLOSED');
    holder.closeInput();
    expect(await closed).toBe(true);
    expect((await appended).seq).toBe(2);
  });

  it('rejects a read that is under way', async () => {
    const path = freshPath();
    const line = `${JSON.stringify(numbered(1))}\n`;
    writeFileSync(path, line.repeat(50_000));
    const log = await openChronicle(path);
    const { signal } = new AbortController();
    const under = [
      log.read(),
      log.stream().next(),
      log.count({}),
      log.verify(),
      log.query({}, { signal }),
      log.verify({ signal }),
    ];
    const refused = under.map((promise) => rejection(promise));
    await log.close();
    for (const error of await Promise.all(refused)) expectCode(error, 'ECLOSED');
  });

  it.skipIf(process.platform !== 'linux')('leaves no descriptor of a reader behind', async () => {
    const path = freshPath();
    writeFileSync(path, `${JSON.stringify(numbered(1))}\n`.repeat(50_000));
    const log = await openChronicle(path);
    const iterators = Array.from({ length: 5 }, () => [
      log.stream(),
      log.follow({ from: 'start' }),
    ]).flat();
    for (const each of iterators) await each.next();
    const descriptors = () =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`) === path;
        } catch {
          return false;
        }
      }).length;
    expect(descriptors()).toBeGreaterThan(0);
    await log.close();
    await expect.poll(descriptors, { timeout: 30_000 }).toBe(0);
  });

  it.skipIf(process.platform !== 'linux')('is not needed for iterators that were forgotten', () => {
    const script = `
      const { readdirSync, readlinkSync } = require('node:fs');
      const { setTimeout: wait } = require('node:timers/promises');
      const { openChronicle } = require('./index.js');
      const path = process.argv[1];
      const open = () => readdirSync('/proc/self/fd').filter((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd) === path; } catch { return false; }
      }).length;
      const forget = async (log) => {
        for (let n = 0; n < 10; n += 1) await log.stream().next();
        return open();
      };
      (async () => {
        const log = await openChronicle(path);
        const before = await forget(log);
        const deadline = Date.now() + 40_000;
        while (open() > 0 && Date.now() < deadline) {
          global.gc();
          await wait(10);
        }
        console.log(before > 0, open(), (await log.tail(1)).length);
      })();`;
    const path = freshPath();
    writeFileSync(path, `${JSON.stringify(numbered(1))}\n`.repeat(50_000));
    const root = new URL('..', import.meta.url);
    const options = { cwd: root, encoding: 'utf8', timeout: 50_000 } as const;
    const out = execFileSync(process.execPath, ['--expose-gc', '-e', script, path], options);
    expect(out.trim()).toBe('true 0 1');
  });

  it('happens at the end of await using', async () => {
    const path = freshPath();
    let appended: Promise<Receipt>;
    let kept: Chronicle;
    {
      await using log = await openChronicle(path);
      appended = log.append(event());
      kept = log;
    }
    expectCode(await rejection(kept.read()), 'ECLOSED');
    expect(linesOf(path)).toHaveLength(1);
    expect((await appended).seq).toBe(1);
  });

  it('lets the process end', () => {
    const script = `
      const { openChronicle } = require('./index.js');
      (async () => {
        const log = await openChronicle(process.argv[1]);
        for await (const event of log.follow({ from: 'start' })) { await log.close(); console.log('left'); break; }
      })();`;
    const path = freshPath();
    writeFileSync(path, '{"n":1}\n');
    const root = new URL('..', import.meta.url);
    const options = { cwd: root, encoding: 'utf8', timeout: 50_000 } as const;
    expect(execFileSync(process.execPath, ['-e', script, path], options).trim()).toBe('left');
  });
});
