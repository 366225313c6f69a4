// What an open chronicle does, in a file and in memory: one suite for both.
// Different in memory are files on a disk, other processes, locks and side files; those are in
// handle.spec.ts.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { computeEventId, openChronicle } from '../index.mjs';
import { openMemoryChronicle } from '../testing.mjs';
import { event, expectCode, freshPath as pathInFolder, rejection } from './support.js';

type Open = (path: string, options?: object) => Promise<any>;
interface Kind {
  openAt: Open;
  freshPath: () => string;
  /** Whether nothing was stored at the path. */
  isEmpty: (path: string) => boolean;
}

const kinds: [string, Kind][] = [
  [
    'a chronicle in a file',
    { openAt: openChronicle, freshPath: pathInFolder, isEmpty: (path) => !existsSync(path) },
  ],
  [
    'a chronicle in memory',
    {
      openAt: (_path, options) => openMemoryChronicle(options),
      freshPath: () => resolve('/memory/log.sage'),
      isEmpty: (path) => !existsSync(path),
    },
  ],
];

/** Opens a chronicle that is closed when the test ends. */
const openedBy =
  (openAt: Open): Open =>
  async (path, options) => {
    const log = await openAt(path, options);
    onTestFinished(() => log.close());
    return log;
  };

const noon = '2026-01-01T12:00:00.000Z';
const numbered = (n: number) => event({ n });
const numbers = (events: readonly object[]) => events.map((each) => (each as { n: number }).n);

/** Everything that an iterator gives. */
async function all<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const each of iterable) seen.push(each);
  return seen;
}

/** A Standard Schema of a check. */
const schema = (check: (value: any) => any) => ({
  '~standard': { version: 1 as const, vendor: 'test', validate: check },
});
const wantsNumber = (value: any) =>
  typeof value.n === 'number'
    ? { value: { ...value, checked: true } }
    : { issues: [{ message: 'not a number', path: ['n'] }] };

describe.each(kinds)('%s', (_name, { openAt, freshPath }) => {
  it('has the same methods', async () => {
    const log = await openAt(freshPath());
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(log));
    const real = await openChronicle(pathInFolder());
    expect(names).toEqual(Object.getOwnPropertyNames(Object.getPrototypeOf(real)));
    await Promise.all([log.close(), real.close()]);
  });

  it('finds duplicates, conflicts and breaks of the contract, with the codes of the errors', async () => {
    const log = await openedBy(openAt)(freshPath());
    const first = await log.append(numbered(1));
    expect(await log.append(numbered(1))).toEqual({ ...first, duplicate: true });
    expectCode(await rejection(log.append(numbered(2), { expectedTail: null })), 'ECONFLICT');
    const second = await log.append(numbered(2), { expectedTail: first.eventId });
    expect(second).toMatchObject({ seq: 2, offset: first.length + 1, duplicate: false });
    const other = { ...numbered(3), eventId: first.eventId };
    expectCode(await rejection(log.append(other, { onIdReuse: 'reject' })), 'ECONFLICT');
    expectCode(await rejection(log.appendMany([numbered(4), {}])), 'EVALIDATION');
    expect(numbers(await log.read())).toEqual([1, 2]);
  });

  it('takes a thousand appends under way, each once and in the order of the calls', async () => {
    const log = await openedBy(openAt)(freshPath());
    const calls = Array.from({ length: 1000 }, (_, n) => log.append(numbered(n)));
    const receipts = await Promise.all(calls);
    expect(receipts.map(({ seq }) => seq)).toEqual(calls.map((_, n) => n + 1));
    expect(numbers(await log.read())).toEqual(calls.map((_, n) => n));
    expect(await log.verify()).toMatchObject({ ok: true, records: 1000 });
  });

  it('answers by conditions, backwards and in parts', async () => {
    const log = await openedBy(openAt)(freshPath());
    await log.appendMany([1, 2, 3, 4].map((n) => event({ n, type: n % 2 ? 'ODD' : 'EVEN' })));
    expect(numbers(await log.query({ type: 'ODD' }))).toEqual([1, 3]);
    expect(numbers(await log.query({}, { reverse: true, limit: 2, skip: 1 }))).toEqual([3, 2]);
    expect(numbers(await all(log.stream({ from: { seq: 2 }, to: { seq: 4 } })))).toEqual([2, 3]);
  });

  it('follows appends of the future, and reports that the follow has caught up', async () => {
    const log = await openedBy(openAt)(freshPath());
    await log.append(numbered(1));
    let caughtUp = 0;
    const following = log.follow({ onCaughtUp: () => (caughtUp += 1) });
    expect(numbers([(await following.next()).value])).toEqual([1]);
    const next = following.next();
    await log.append(numbered(2));
    expect(numbers([(await next).value])).toEqual([2]);
    expect(caughtUp).toBeGreaterThan(0);
  });
});

describe('a chronicle in memory', () => {
  it('is empty and alone: another one has nothing of it', async () => {
    const [one, two] = await Promise.all([openMemoryChronicle(), openMemoryChronicle()]);
    await one.append(numbered(1));
    expect([await one.count(), await two.count()]).toEqual([1, 0]);
    await Promise.all([one.close(), two.close()]);
  });

  it('rejects a bad option as openChronicle does', async () => {
    expectCode(await rejection(openMemoryChronicle({ retries: 1 } as object)), 'EVALIDATION');
  });
});

describe.each(kinds)('%s: the methods', (_name, { openAt, freshPath, isEmpty }) => {
  const opened = openedBy(openAt);

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
      await log.append(numbered(n! + 1));
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

describe.each(kinds)('%s: a signal', (_name, { openAt, freshPath, isEmpty }) => {
  const opened = openedBy(openAt);

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
    const log = await openAt(freshPath());
    await log.append(numbered(1));
    const { signal } = new AbortController();
    const waiting = log.follow({ from: 'end', signal }).next();
    const reading = rejection(log.read({ signal }));
    await log.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expectCode(await reading, 'ECLOSED');
  });
});

describe.each(kinds)('%s: validation', (_name, { openAt, freshPath, isEmpty }) => {
  const opened = openedBy(openAt);

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
    expect((await log.read()).map(({ type }) => type)).toEqual(['X', 'PLAN_DRAFTED', 'Y']);
    expectCode(await rejection(log.append({} as never)), 'EVALIDATION');
  });

  it('by a schema appends what the schema gives', async () => {
    const path = freshPath();
    const log = await opened(path, { validate: schema(wantsNumber) });
    const given = { type: 'X', n: 1 };
    const receipt = await log.append(given);
    await log.appendMany([{ type: 'X', n: 2 }]);
    expect(given).toEqual({ type: 'X', n: 1 });
    const stored = await log.read();
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
    expect(numbers(await log.read())).toEqual([4, 1, 2, 3]);
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
    expect(isEmpty(path)).toBe(true);
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
    expect(isEmpty(path)).toBe(true);
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
    expect(isEmpty(path)).toBe(true);
  });

  it('by a schema may be a function, as arktype has it', async () => {
    const log = await opened(freshPath(), {
      validate: Object.assign(() => {}, schema(wantsNumber)),
    });
    await log.append({ type: 'X', n: 1 });
    expect(await log.count({})).toBe(1);
  });
});

describe.each(kinds)('%s: the clock', (_name, { openAt, freshPath, isEmpty }) => {
  const opened = openedBy(openAt);
  const { timestamp: _, ...timeless } = event();

  it('gives a timestamp to events that have none, and to no others', async () => {
    const path = freshPath();
    let asked = 0;
    const clock = { now: () => ((asked += 1), noon) };
    const log = await opened(path, { clock });
    await log.append(timeless);
    await log.appendMany([{ ...timeless, n: 1 }, event({ n: 2 })]);
    const times = (await log.read()).map(({ timestamp }) => timestamp);
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
    expect((await log.read())[0]).toMatchObject({ type: 'X', timestamp: noon });
  });

  it('that fails refuses the append', async () => {
    const path = freshPath();
    const log = await opened(path, { clock: { now: () => '' } });
    const error = await rejection(log.append(timeless));
    expect(expectCode(error, 'EVALIDATION')).toMatchObject({ written: 'no', path });
  });
});

describe.each(kinds)('%s: closing', (_name, { openAt, freshPath, isEmpty }) => {
  const opened = openedBy(openAt);

  it('makes every method reject with ECLOSED, and again does no harm', async () => {
    const path = freshPath();
    const log: any = await openAt(path);
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
  });

  it('waits for a schema that is not ready, and resolves when an append fails', async () => {
    const path = freshPath();
    let ready = (_result: object) => {};
    const slow = schema(() => new Promise((resolve) => (ready = resolve)));
    const log = await openAt(path, { validate: slow });
    const appended = log.append({ type: 'X' });
    const closed = log.close();
    ready({ value: { type: 'X' } });
    await closed;
    expect((await appended).seq).toBe(1);

    const other = await openAt(path);
    const failed = rejection(other.append({ type: 'X' } as never));
    await other.close();
    expectCode(await failed, 'EVALIDATION');
  });

  it('ends a follow that waits, as a signal would', async () => {
    const path = freshPath();
    const log = await openAt(path);
    await log.append(numbered(1));
    const following = log.follow({ from: 'start' });
    expect(numbers([(await following.next()).value])).toEqual([1]);
    const waiting = following.next();
    await log.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(typeof following.cursor).toBe('string');
  });
});
