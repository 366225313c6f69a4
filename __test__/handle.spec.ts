// openChronicle: the functions without the path, a cache, validation, a clock, and an end.
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { readlinkSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { append, computeEventId, flushSync, openChronicle, readChronicle } from '../index.mjs';
import type { Chronicle, Receipt } from '../index.mjs';
import { Child } from './child.js';
import { present, scratchFolder } from './scratch.js';
import {
  binding,
  event,
  expectCode,
  folder,
  freshPath,
  linesOf,
  rejection,
  warningsOf,
} from './support.js';

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
      ...methods,
      'tail',
      'verify',
    ]);
    expect(Object.keys(log)).toEqual([]);
    expect(Object.getOwnPropertySymbols(Object.getPrototypeOf(log))).toEqual([Symbol.asyncDispose]);
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

  it('works in memory where the package itself asks for that', async () => {
    const path = freshPath();
    const { MEMORY } = createRequire(import.meta.url)('../lib/binding/options.js');
    const log = await opened(path, { [MEMORY]: new binding.Memory() } as object);
    await log.append(numbered(1));
    await log.appendMany([numbered(2)]);
    expect(numbers(await log.read())).toEqual([1, 2]);
    expect(numbers(await log.read({ onBadLine: 'throw' }))).toEqual([1, 2]);
    expect(numbers(await log.tail(1))).toEqual([2]);
    expect(numbers(await all(log.stream()))).toEqual([1, 2]);
    expect(numbers(await log.query({}))).toEqual([1, 2]);
    expect(await log.count()).toBe(2);
    expect(await log.verify()).toMatchObject({ ok: true, records: 2 });
    const following = log.follow();
    expect(numbers([(await following.next()).value])).toEqual([1]);
    expect(existsSync(path)).toBe(false);
  });

  it('does not warn of bad lines when it opens', async () => {
    const path = freshPath();
    writeFileSync(path, '{"n":1}\nbad\n');
    const seen = await warningsOf('CHRONICLE_BAD_LINES', () => opened(path));
    expect(seen).toEqual([]);
  });
});

describe('the methods', () => {
  it('do what the functions do', async () => {
    const path = freshPath();
    const log = await opened(path);
    const receipt = await log.append(numbered(1), { idempotencyKey: 'key', durability: 'os' });
    expect(receipt).toMatchObject({ seq: 1, duplicate: false, durable: false });
    expect(await log.append(numbered(9), { idempotencyKey: 'key' })).toMatchObject({
      seq: 1,
      duplicate: true,
    });
    const receipts = await log.appendMany([numbered(2), numbered(3)]);
    expect(receipts.map(({ seq }) => seq)).toEqual([2, 3]);
    expect(numbers(await log.tail(2))).toEqual([2, 3]);
    expect(await log.tail(1, { positions: true })).toMatchObject([{ seq: 3, event: { n: 3 } }]);
    expect(await log.count({ type: 'TEST_EVENT' })).toBe(3);
    expect(await log.count()).toBe(3);
    const { prevEventId, ...chained } = JSON.parse(JSON.stringify(numbered(4)));
    await log.append(chained, { chain: true });
    const [last] = await log.tail(1);
    expect(last).toMatchObject({ n: 4, prevEventId: receipts[1]!.eventId });
    expect(await log.verify()).toMatchObject({ ok: true, records: 4 });
  });

  it('stream with a cursor, and stop when the loop is left', async () => {
    const path = freshPath();
    const log = await opened(path);
    await log.appendMany([1, 2, 3].map(numbered));
    const stream = log.stream();
    expect(stream.cursor).toBeUndefined();
    for await (const each of stream) if (numbers([each])[0] === 2) break;
    expect(numbers(await all(log.stream({ from: { cursor: stream.cursor! } })))).toEqual([3]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it('follow what others append', async () => {
    const path = freshPath();
    const log = await opened(path);
    await log.append(numbered(1));
    const following = log.follow({ from: 'start' });
    const seen: number[] = [];
    for await (const each of following) {
      const [n] = numbers([each]);
      seen.push(n!);
      if (n === 3) break;
      await append(path, numbered(n! + 1));
    }
    expect(seen).toEqual([1, 2, 3]);
  });

  it('refuse unknown options and anyExtension, and never throw synchronously', async () => {
    const log: any = await opened(freshPath());
    for (const options of [{ retries: 1 }, { anyExtension: true }, null, 5]) {
      for (const call of [
        () => log.append(event(), options),
        () => log.appendMany([event()], options),
        () => log.read(options),
        () => log.tail(1, options),
        () => log.query({}, options),
        () => log.count({}, options),
        () => log.verify(options),
        () => log.stream(options).next(),
        () => log.follow(options).next(),
      ]) {
        expectCode(await rejection(call()), 'EVALIDATION');
      }
    }
    const refused = log.stream({ retries: 1 });
    await rejection(refused.next());
    expect(await refused.next()).toEqual({ done: true, value: undefined });
    const appended = await rejection(log.append(event(), { retries: 1 }));
    expect(appended).toMatchObject({ written: 'no', path: expect.stringContaining('log.sage') });
  });

  it('are given up by a signal, each with its reason', async () => {
    const log: any = await opened(freshPath());
    await log.append(event());
    const signal = AbortSignal.abort('enough');
    for (const call of [
      () => log.append(event({ n: 2 }), { signal }),
      () => log.appendMany([event({ n: 2 })], { signal }),
      () => log.read({ signal }),
      () => log.tail(1, { signal }),
      () => log.query({}, { signal }),
      () => log.count({}, { signal }),
      () => log.verify({ signal }),
      () => log.stream({ signal }).next(),
    ]) {
      expect(await rejection(call())).toBe('enough');
    }
    expect(await log.read()).toHaveLength(1);
  });

  it('share one listener of a signal, and leave none behind', async () => {
    const path = freshPath();
    const log: any = await opened(path);
    await log.appendMany([1, 2, 3].map(numbered));
    const { signal } = new AbortController();
    let listeners = 0;
    let most = 0;
    const counted = {
      aborted: false,
      addEventListener: (type: 'abort', listener: () => void) => {
        listeners += 1;
        most = Math.max(most, listeners);
        signal.addEventListener(type, listener);
      },
      removeEventListener: (type: 'abort', listener: () => void) => {
        listeners -= 1;
        signal.removeEventListener(type, listener);
      },
    };
    const work = Array.from({ length: 30 }, () => [
      log.read({ signal: counted }),
      log.tail(2, { signal: counted }),
      all(log.stream({ signal: counted })),
      log.count({}, { signal: counted }),
    ]);
    await Promise.all(work.flat());
    const left = log.stream({ signal: counted });
    await left.next();
    await left.return();
    expect({ most, listeners }).toEqual({ most: 1, listeners: 0 });
  });
});

describe('a signal', () => {
  it('ends pending calls, after another call that shared the signal has ended', async () => {
    const log = await opened(freshPath());
    await log.append(numbered(1));
    const controller = new AbortController();
    const { signal } = controller;
    const following = log.follow({ from: 'end', signal });
    const waiting = following.next();
    const short = log.stream({ signal });
    await all(short);
    await short.return();
    await log.read({ signal });
    controller.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it('of a caller does not keep from being closed', async () => {
    const log = await openChronicle(freshPath());
    await log.append(numbered(1));
    const { signal } = new AbortController();
    const waiting = log.follow({ from: 'end', signal }).next();
    const reading = rejection(log.read({ signal }));
    await log.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expectCode(await reading, 'ECLOSED');
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
  it("by 'contract' is the default: what append refuses is refused", async () => {
    for (const options of [undefined, { validate: 'contract' as const }]) {
      const log: any = await opened(freshPath(), options);
      expectCode(await rejection(log.append({ type: 'X' })), 'EVALIDATION');
      const error = await rejection(log.appendMany([event(), { type: 'PLAN_DRAFTED' }]));
      expect(expectCode(error, 'EVALIDATION')).toMatchObject({ index: 1, written: 'no' });
      expect(await log.read()).toEqual([]);
    }
  });

  it("by 'none' needs a type only", async () => {
    const path = freshPath();
    const log = await opened(path, { validate: 'none' });
    await log.append({ type: 'X' });
    await log.appendMany([{ type: 'PLAN_DRAFTED' }, { type: 'Y', actor: {} }]);
    expect(linesOf(path).map((line) => JSON.parse(line).type)).toEqual(['X', 'PLAN_DRAFTED', 'Y']);
    expectCode(await rejection(log.append({} as never)), 'EVALIDATION');
  });

  it('by a schema appends what the schema gives', async () => {
    const path = freshPath();
    const log = await opened(path, { validate: schema(wantsNumber) });
    const given = { type: 'X', n: 1 };
    const receipt = await log.append(given);
    await log.appendMany([{ type: 'X', n: 2 }]);
    expect(given).toEqual({ type: 'X', n: 1 });
    const stored = linesOf(path).map((line) => JSON.parse(line));
    expect(stored).toMatchObject([
      { type: 'X', n: 1, checked: true, eventId: receipt.eventId },
      { type: 'X', n: 2, checked: true },
    ]);
    expect(receipt.eventId).toBe(await computeEventId({ type: 'X', n: 1, checked: true }));
  });

  it('by a schema may be asynchronous, keeps the order of a batch, and sees the event as it was', async () => {
    const path = freshPath();
    const slow = schema(async (value) => {
      for (let turn = value.n; turn < 5; turn += 1) await new Promise(setImmediate);
      return wantsNumber(value);
    });
    const log = await opened(path, { validate: slow });
    const given = { type: 'X', n: 4 };
    const one = log.append(given);
    given.n = -1;
    await one;
    await log.appendMany([1, 2, 3].map((n) => ({ type: 'X', n })));
    expect(numbers(linesOf(path).map((line) => JSON.parse(line)))).toEqual([4, 1, 2, 3]);
  });

  it('by a schema refuses with the path of the first issue', async () => {
    const path = freshPath();
    const issues = [
      { message: 'too short', path: ['actor', { key: 'id' }, 0] },
      { message: 'and another' },
    ];
    for (const refuse of [() => ({ issues }), async () => ({ issues })]) {
      const log = await opened(path, { validate: schema(refuse) });
      const error = await rejection(log.append({ type: 'X' }));
      expect(expectCode(error, 'EVALIDATION')).toMatchObject({ written: 'no', path });
      expect(error.message).toContain('actor.id.0: too short (and 1 more)');
      expect(error.cause).toBeUndefined();
      expect(error.index).toBeUndefined();
    }
    const plain = await opened(path, { validate: schema(() => ({ issues: [{ message: 'no' }] })) });
    expect((await rejection(plain.append({ type: 'X' }))).message).toMatch(/: no$/);
    expect(existsSync(path)).toBe(false);
  });

  it('by a schema names the place in a batch, and nothing of it is written', async () => {
    const path = freshPath();
    const asynchronous = schema(async (value) => wantsNumber(value));
    const mixed = schema((value) =>
      value.n === 1 ? Promise.reject(new Error('first')) : wantsNumber(value),
    );
    for (const [validate, index] of [
      [schema(wantsNumber), 2],
      [asynchronous, 2],
      [mixed, 2],
    ] as const) {
      const log = await opened(path, { validate });
      const batch = [{ type: 'X', n: 1 }, { type: 'X', n: 2 }, { type: 'X' }];
      const error = await rejection(log.appendMany(batch));
      expect(expectCode(error, 'EVALIDATION')).toMatchObject({ index, written: 'no', path });
    }
    expect(existsSync(path)).toBe(false);
  });

  it('by a schema that fails is refused with what it threw', async () => {
    const path = freshPath();
    const broken = () => {
      throw new Error('broken');
    };
    for (const check of [broken, async () => broken()]) {
      const log = await opened(path, { validate: schema(check) });
      const error = await rejection(log.append({ type: 'X' }));
      expect(expectCode(error, 'EVALIDATION')).toMatchObject({ written: 'no', path });
      expect(error.cause.message).toBe('broken');
    }
    for (const result of [undefined, null, 5, { value: undefined }, { value: 5 }, { value: {} }]) {
      const log = await opened(path, { validate: schema(() => result) });
      expectCode(await rejection(log.append({ type: 'X' })), 'EVALIDATION');
    }
    expect(existsSync(path)).toBe(false);
  });

  it('by a schema may be a function, as arktype has it', async () => {
    const log = await opened(freshPath(), {
      validate: Object.assign(() => {}, schema(wantsNumber)),
    });
    await log.append({ type: 'X', n: 1 });
    expect(await log.count({})).toBe(1);
  });

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

describe('the clock', () => {
  const { timestamp: _, ...timeless } = event();

  it('gives a timestamp to events that have none, and to no others', async () => {
    const path = freshPath();
    let asked = 0;
    const clock = { now: () => ((asked += 1), noon) };
    const log = await opened(path, { clock });
    await log.append(timeless);
    await log.appendMany([{ ...timeless, n: 1 }, event({ n: 2 })]);
    const times = linesOf(path).map((line) => JSON.parse(line).timestamp);
    expect(times).toEqual([noon, noon, event().timestamp]);
    expect(asked).toBe(2);
    expect(timeless).not.toHaveProperty('timestamp');
  });

  it('is not asked without the option: the event is refused', async () => {
    const log: any = await opened(freshPath());
    expectCode(await rejection(log.append(timeless)), 'EVALIDATION');
  });

  it('is asked before a schema sees the event, and when the schema left the time out', async () => {
    const path = freshPath();
    const seen: unknown[] = [];
    const strips = schema(({ type, timestamp }) => (seen.push(timestamp), { value: { type } }));
    const log = await opened(path, { clock: { now: () => noon }, validate: strips });
    await log.append({ type: 'X' });
    expect(seen).toEqual([noon]);
    expect(JSON.parse(linesOf(path)[0]!)).toMatchObject({ type: 'X', timestamp: noon });
  });

  it('that fails refuses the append', async () => {
    const path = freshPath();
    const log = await opened(path, { clock: { now: () => '' } });
    const error = await rejection(log.append(timeless));
    expect(expectCode(error, 'EVALIDATION')).toMatchObject({ written: 'no', path });
  });
});

describe('closing', () => {
  it('makes every method reject with ECLOSED, and again does no harm', async () => {
    const path = freshPath();
    const log: any = await openChronicle(path);
    await log.append(event());
    const idle = [log.stream(), log.follow()];
    const begun = log.stream();
    await begun.next();
    await log.close();
    await log.close();
    for (const call of [
      () => log.append(event({ n: 2 })),
      () => log.appendMany([]),
      () => log.read(),
      () => log.tail(),
      () => log.query({}),
      () => log.count({}),
      () => log.verify(),
      () => log.stream().next(),
      () => log.follow().next(),
      () => begun.next(),
      () => idle[0].next(),
      () => idle[1].next(),
    ]) {
      const error = expectCode(await rejection(call()), 'ECLOSED');
      expect(error.path).toBe(path);
    }
    expect(await rejection(log.append(event()))).toMatchObject({ written: 'no' });
    expect(await begun.return()).toEqual({ done: true, value: undefined });
    expect(linesOf(path)).toHaveLength(1);
  });

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

  it('waits for a schema that is not ready, and resolves when an append fails', async () => {
    const path = freshPath();
    let ready = (_result: object) => {};
    const slow = schema(() => new Promise((resolve) => (ready = resolve)));
    const log = await openChronicle(path, { validate: slow });
    const appended = log.append({ type: 'X' });
    const closed = log.close();
    ready({ value: { type: 'X' } });
    await closed;
    expect((await appended).seq).toBe(1);

    const other = await openChronicle(path);
    const failed = rejection(other.append({ type: 'X' } as never));
    await other.close();
    expectCode(await failed, 'EVALIDATION');
  });

  it('ends a follow that waits, as a signal would', async () => {
    const path = freshPath();
    const log = await openChronicle(path);
    await log.append(numbered(1));
    const following = log.follow({ from: 'start' });
    expect(numbers([(await following.next()).value])).toEqual([1]);
    const waiting = following.next();
    await log.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(typeof following.cursor).toBe('string');
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
