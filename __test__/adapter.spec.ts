// The adapter: chronicles by path for agents, lenient about what they append.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { computeEventId, createAdapter, openChronicle, readChronicle } from '../index.mjs';
import { makeChronicle } from '../testing.mjs';
import { event, expectCode, folder, freshPath, linesOf, rejection } from './support.js';
import { thrown, warningsOf } from './support.js';

const noon = '2025-08-28T12:00:00.000Z';
const clock = { now: () => noon };

describe('what the adapter appends', () => {
  it('needs nothing but a type', async () => {
    const path = freshPath();
    await createAdapter({ clock }).append(path, { type: 'ONLY' });
    const [line] = linesOf(path);
    const { eventId, ...rest } = JSON.parse(line!);
    expect(rest).toEqual({ type: 'ONLY', timestamp: noon });
    expect(eventId).toBe(await computeEventId(rest));
    expect(eventId).toMatch(/^[0-9a-f]{64}$/);
  });

  it('is refused without a type, in a message that begins with the code', async () => {
    const path = freshPath();
    const adapter = createAdapter();
    const bad = [{}, { type: '' }, { type: 5 }, { type: null }, null, undefined, 5, 'X', [], 5n];
    for (const given of bad) {
      const error = await rejection(adapter.append(path, given as never));
      expectCode(error, 'EVALIDATION');
      expect(error.message).toMatch(/^EVALIDATION: \S/);
      expect(error).toMatchObject({ written: 'no', path });
    }
    expect(existsSync(path)).toBe(false);
  });

  it('is stored as it would be stored elsewhere, and left as it was given', async () => {
    const path = freshPath();
    const given = {
      type: 'X',
      when: new Date(noon),
      skipped: undefined,
      deep: { list: [1, null] },
    };
    const frozen = Object.freeze(given);
    await createAdapter({ clock }).append(path, frozen);
    expect(Object.keys(given)).toEqual(['type', 'when', 'skipped', 'deep']);
    const [read] = await createAdapter().read<object>(path);
    expect(read).toEqual({
      type: 'X',
      eventId: expect.any(String),
      when: noon,
      deep: { list: [1, null] },
      timestamp: noon,
    });
  });

  it('may be changed after the call', async () => {
    const path = freshPath();
    const given = { type: 'BEFORE' };
    const appended = createAdapter().append(path, given);
    given.type = 'AFTER';
    await appended;
    expect(await readChronicle(path)).toMatchObject([{ type: 'BEFORE' }]);
  });

  it('keeps a given timestamp, id and actor', async () => {
    const path = freshPath();
    const given = event({ eventId: 'my id' });
    await createAdapter({ clock }).append(path, given);
    expect(await readChronicle(path)).toEqual([given]);
  });

  it('is one event if it is given twice with an id, however long ago the first was', async () => {
    const path = freshPath();
    const adapter = createAdapter();
    await adapter.append(path, { type: 'X', eventId: 'fixed' });
    for (let n = 0; n < 150; n += 50) {
      const between = Array.from({ length: 50 }, (_, i) => ({ type: 'Y', n: n + i }));
      await Promise.all(between.map((each) => adapter.append(path, each)));
    }
    await adapter.append(path, { type: 'X', eventId: 'fixed' });
    expect(await adapter.read(path)).toHaveLength(151);
  });

  it('is refused where a field of the envelope has the wrong type', async () => {
    const adapter = createAdapter();
    for (const wrong of [{ actor: 'me' }, { timestamp: 5 }, { tags: 'one' }, { eventId: 7 }]) {
      const error = await rejection(adapter.append(freshPath(), { type: 'X', ...wrong } as never));
      expectCode(error, 'EVALIDATION');
    }
  });
});

describe('the clock of an adapter', () => {
  /** The timestamp that an adapter with this clock writes. */
  async function written(now: () => unknown, given: object = {}): Promise<unknown> {
    const path = freshPath();
    await createAdapter({ clock: { now } as never }).append(path, { type: 'X', ...given });
    return JSON.parse(readFileSync(path, 'utf8')).timestamp;
  }

  it('may give a text, a Date or milliseconds', async () => {
    expect(await written(() => 'ten past noon')).toBe('ten past noon');
    expect(await written(() => new Date(noon))).toBe(noon);
    expect(await written(() => Date.parse(noon))).toBe(noon);
  });

  it('may be Date itself, and is the system without the option', async () => {
    for (const options of [{ clock: Date }, {}]) {
      const path = freshPath();
      const before = Date.now();
      await createAdapter(options).append(path, { type: 'X' });
      const time = Date.parse(JSON.parse(readFileSync(path, 'utf8')).timestamp);
      expect(time).toBeGreaterThanOrEqual(before);
      expect(time).toBeLessThanOrEqual(Date.now());
    }
  });

  it('is asked where the timestamp is missing, null or empty, and nowhere else', async () => {
    for (const timestamp of [undefined, null, '']) {
      expect(await written(() => noon, { timestamp })).toBe(noon);
    }
    const silent = () => expect.fail('the clock was asked');
    expect(await written(silent, { timestamp: 'mine' })).toBe('mine');
    // What counts is what would be stored.
    expect(await written(silent, { toJSON: () => ({ type: 'X', timestamp: 'mine' }) })).toBe(
      'mine',
    );
  });

  it('that gives no time refuses the append', async () => {
    const wrong = [undefined, null, '', NaN, Infinity, 5n, {}, new Date(NaN), true];
    for (const time of wrong) {
      const error = await rejection(written(() => time));
      expectCode(error, 'EVALIDATION');
      expect(error.message).toContain('clock.now()');
    }
    const error = await rejection(
      written(() => {
        throw new Error('no battery');
      }),
    );
    expectCode(error, 'EVALIDATION');
    expect(error.cause.message).toBe('no battery');
  });
});

describe('an id that comes again', () => {
  let minute = 0;
  const ticking = { now: () => `2025-01-01T00:${String((minute += 1)).padStart(2, '0')}:00Z` };
  const reused = (work: () => Promise<unknown>) => warningsOf('CHRONICLE_ID_REUSED', work);
  const logs = {
    createAdapter: async () => createAdapter({ clock: ticking, baseDir: folder() }),
    makeChronicle: async () => makeChronicle({ clock: ticking }),
    openChronicle: async () => {
      const log = await openChronicle(freshPath(), { clock: ticking });
      onTestFinished(() => log.close());
      return { append: (_path: string, given: any) => log.append(given), read: () => log.read() };
    },
  };
  const given = { type: 'X', actor: { agent: 'a', id: 'b' }, eventId: 'same', list: [1, { a: 2 }] };

  it.each(Object.entries(logs))(
    'is no news where only the time of the clock differs: %s',
    async (_name, opened) => {
      const log = await opened();
      const append = (fields: object = {}) => log.append('a.sage', { ...given, ...fields });
      const again = async () => {
        await append();
        await append();
        await append({ timestamp: '' });
      };
      expect(await reused(again)).toEqual([]);
      expect(await log.read('a.sage')).toHaveLength(1);
      // One warning for each log: here the time is part of the event.
      const other = async () => append({ timestamp: noon });
      expect(await reused(other)).toHaveLength(1);
    },
  );

  it.each(Object.entries(logs))(
    'is reported where the payload differs: %s',
    async (_name, opened) => {
      const log = await opened();
      await log.append('b.sage', given);
      const other = async () => log.append('b.sage', { ...given, list: [1, { a: 3 }] });
      expect(await reused(other)).toHaveLength(1);
    },
  );

  it('is no news behind a schema, which sees the time of the clock', async () => {
    const schema = { version: 1 as const, vendor: 'test', validate: (value: any) => ({ value }) };
    const log = await openChronicle(freshPath(), {
      clock: ticking,
      validate: { '~standard': schema },
    });
    onTestFinished(() => log.close());
    const again = async () => {
      for (let times = 0; times < 3; times += 1) await log.append(given);
    };
    expect(await reused(again)).toEqual([]);
    expect(await log.read()).toHaveLength(1);
  });
});

describe('paths of an adapter', () => {
  it('are below its folder where they are relative', async () => {
    const base = folder();
    const adapter = createAdapter({ baseDir: base });
    await adapter.append('deep/er/log.sage', { type: 'X' });
    expect(existsSync(join(base, 'deep/er/log.sage'))).toBe(true);
    expect(await adapter.read('deep/er/log.sage')).toHaveLength(1);
    expect(await adapter.tail('./deep/er/log.sage')).toHaveLength(1);
    const elsewhere = freshPath();
    await adapter.append(elsewhere, { type: 'X' });
    expect(await readChronicle(elsewhere)).toHaveLength(1);
  });

  it('are made absolute with a folder that is itself relative', async () => {
    const base = folder();
    mkdirSync(join(base, 'sub'));
    const adapter = createAdapter({ baseDir: relative(process.cwd(), join(base, 'sub')) });
    const before = process.cwd();
    process.chdir(join(base, 'sub'));
    try {
      await adapter.append('log.sage', { type: 'X' });
    } finally {
      process.chdir(before);
    }
    expect(existsSync(join(base, 'sub/log.sage'))).toBe(true);
  });

  it('have no dots that lead out of the folder and end in .sage', async () => {
    const adapter = createAdapter({ baseDir: folder() });
    for (const path of ['../log.sage', 'a/../../log.sage', 'log.txt', 'logs/', '', 5, null]) {
      for (const call of [
        adapter.read(path as string),
        adapter.tail(path as string),
        adapter.append(path as string, { type: 'X' }),
      ]) {
        const error = await rejection(call);
        expectCode(error, 'EVALIDATION');
        expect(error.message).toMatch(/^EVALIDATION: /);
      }
    }
  });

  it('may have any extension where that is asked for', async () => {
    const base = folder();
    const adapter = createAdapter({ baseDir: base, anyExtension: true });
    await adapter.append('.sage/plans', { type: 'PLAN' });
    expect(linesOf(join(base, '.sage/plans'))).toHaveLength(1);
    expect(await adapter.read('.sage/plans')).toHaveLength(1);
    expect(await adapter.tail('.sage/plans', 5)).toHaveLength(1);
    expectCode(await rejection(adapter.read('../plans')), 'EVALIDATION');
  });
});

describe('what the adapter reads', () => {
  it('is new at each reading, in the order it was appended', async () => {
    const path = freshPath();
    const adapter = createAdapter();
    expect(await adapter.read(path)).toEqual([]);
    for (let n = 0; n < 12; n += 1) await adapter.append(path, { type: 'X', n, actor: {} });
    const first = await adapter.read<any>(path);
    expect(first.map(({ n }) => n)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    first[0].actor.agent = 'changed';
    expect((await adapter.read<any>(path))[0].actor).toEqual({});
  });

  it('is the last ten by tail, or as many as asked for', async () => {
    const path = freshPath();
    const adapter = createAdapter();
    for (let n = 0; n < 12; n += 1) await adapter.append(path, { type: 'X', n });
    const numbers = async (n?: number) => (await adapter.tail<any>(path, n)).map((each) => each.n);
    expect(await numbers()).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(await numbers(2)).toEqual([10, 11]);
    expect(await numbers(0)).toEqual([]);
    const error = await rejection(adapter.tail(path, -1));
    expect(error.message).toMatch(/^EVALIDATION: Tail count must be non-negative/);
  });

  it('fails with the code of the system in the message too', async () => {
    const path = join(freshPath(), 'below.sage');
    await createAdapter().append(join(path, '..'), { type: 'X' });
    const error = await rejection(createAdapter().append(path, { type: 'X' }));
    expectCode(error, 'EIO');
    expect(error.message).toMatch(/^EIO: /);
    expect(error.cause.code).toBe('ENOTDIR');
  });
});

describe('options of an adapter', () => {
  it('that are wrong or unknown are refused at once', () => {
    const wrong = [
      null,
      5,
      { clock: {} },
      { clock: 'now' },
      { clock: null },
      { baseDir: '' },
      { baseDir: 5 },
      { anyExtension: 1 },
      { base: '/tmp' },
    ];
    for (const options of wrong) {
      expectCode(
        thrown(() => createAdapter(options as never)),
        'EVALIDATION',
      );
    }
  });
});

describe('conditions and iterators of an adapter', () => {
  it('are those of the package, by the paths of the adapter', async () => {
    const baseDir = folder();
    const log = createAdapter({ baseDir, clock: { now: () => noon } });
    for (const n of [1, 2, 3])
      await log.append('a.sage', { type: n % 2 ? 'ODD' : 'EVEN', n } as never);
    const found = await log.query<{ n: number }>('a.sage', { type: 'ODD' }, { reverse: true });
    expect(found.map(({ n }) => n)).toEqual([3, 1]);
    const streamed: number[] = [];
    const stream = log.stream<{ n: number }>('a.sage', { from: { seq: 2 } });
    for await (const { n } of stream) streamed.push(n);
    expect(streamed).toEqual([2, 3]);
    expect(typeof stream.cursor).toBe('string');
    const following = log.follow<{ n: number }>('a.sage', { from: 'end' });
    await following.ready;
    const next = following.next();
    await log.append('a.sage', { type: 'LATER', n: 4 } as never);
    expect((await next).value).toMatchObject({ n: 4 });
    await following.return();
    expect(await log.query('missing.sage')).toEqual([]);
  });

  it('refuse a path that leads out of the folder, and unknown options, with a rejection', async () => {
    const log: any = createAdapter({ baseDir: folder() });
    for (const call of [
      () => log.query('../a.sage', {}),
      () => log.stream('../a.sage').next(),
      () => log.follow('../a.sage').next(),
      () => log.query('a.sage', {}, { retries: 1 }),
      () => log.stream('a.sage', { retries: 1 }).next(),
      () => log.follow('a.sage', { retries: 1 }).next(),
      () => log.query('a.sage', { typ: 'X' }),
      () => log.query('a.sage', {}, { anyExtension: true }),
      () => log.stream('a.sage', { from: 'middle' }).next(),
    ]) {
      const error = expectCode(await rejection(call()), 'EVALIDATION');
      expect(error.message).toMatch(/^EVALIDATION: (?!EVALIDATION)/);
    }
  });
});
