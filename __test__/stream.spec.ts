import {
  appendFileSync,
  existsSync,
  readdirSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { appendEvents, readChronicle, streamChronicle } from '../index.mjs';
import type { BadLine, StreamOptions } from '../index.mjs';
import { event, expectCode, freshPath, rejection, warningsOf } from './support.js';

interface Numbered {
  n: number;
}

async function numbered(count: number, path = freshPath()): Promise<string> {
  const events = Array.from({ length: count }, (_, n) =>
    event({ n, type: n % 10 === 0 ? 'TEN' : 'ONE', timestamp: new Date(n * 1000).toISOString() }),
  );
  await appendEvents(path, events);
  return path;
}

/** The same without an append: a writer keeps its descriptor for a while. */
function written(count: number): string {
  const path = freshPath();
  writeFileSync(
    path,
    range(0, count)
      .map((n) => `{"n":${n}}\n`)
      .join(''),
  );
  return path;
}

async function numbers(path: string, options?: StreamOptions): Promise<number[]> {
  const met: number[] = [];
  for await (const each of streamChronicle<Numbered>(path, { ...options, positions: false })) {
    met.push(each.n);
  }
  return met;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** Descriptors of this process that are open on the file. */
function descriptorsOf(path: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  }).length;
}

describe('streamChronicle', () => {
  it('gives every event in file order, and in the other order with reverse', async () => {
    const path = await numbered(5000);
    expect(await numbers(path)).toEqual(range(0, 5000));
    expect(await numbers(path, { reverse: true })).toEqual(range(0, 5000).reverse());
  });

  it('gives nothing for a missing or an empty file, in either order', async () => {
    const path = freshPath();
    expect(await numbers(path)).toEqual([]);
    writeFileSync(path, '');
    expect(await numbers(path)).toEqual([]);
    expect(await numbers(path, { reverse: true })).toEqual([]);
  });

  it('begins at from and ends before to, by number, byte, id, time and word', async () => {
    const path = await numbered(100);
    const all = await readChronicle<Numbered & { eventId: string }>(path, { positions: true });
    const at = (n: number) => all[n] as NonNullable<(typeof all)[number]>;
    expect(await numbers(path, { from: { seq: 91 } })).toEqual(range(90, 100));
    expect(await numbers(path, { from: { seq: 3 }, to: { seq: 6 } })).toEqual([2, 3, 4]);
    expect(await numbers(path, { from: { offset: at(97).offset } })).toEqual([97, 98, 99]);
    expect(await numbers(path, { from: { offset: at(97).offset + 1 } })).toEqual([98, 99]);
    expect(await numbers(path, { to: { offset: at(2).offset } })).toEqual([0, 1]);
    const id = at(95).event.eventId;
    expect(await numbers(path, { from: { eventId: id } })).toEqual(range(95, 100));
    expect(await numbers(path, { to: { eventId: id }, reverse: true, limit: 2 })).toEqual([94, 93]);
    expect(await numbers(path, { from: { time: new Date(97_500) } })).toEqual([98, 99]);
    expect(await numbers(path, { from: { time: 98_000 }, reverse: true })).toEqual([99, 98]);
    expect(await numbers(path, { to: { time: '1970-01-01T00:00:02Z' } })).toEqual([0, 1]);
    expect(await numbers(path, { from: 'end' })).toEqual([]);
    expect(await numbers(path, { from: { seq: 101 } })).toEqual([]);
    expect(await numbers(path, { from: { seq: 50 }, to: { seq: 40 } })).toEqual([]);
  });

  it('gives only what matches where, and at most limit events', async () => {
    const path = await numbered(100);
    const where = { type: 'TEN' };
    expect(await numbers(path, { where })).toEqual(range(0, 10).map((n) => n * 10));
    expect(await numbers(path, { where, reverse: true, limit: 2 })).toEqual([90, 80]);
    expect(await numbers(path, { limit: 0 })).toEqual([]);
  });

  it('gives positions with the numbers of the file, wherever it begins', async () => {
    const path = await numbered(50);
    const all = await readChronicle(path, { positions: true });
    for (const options of [
      {},
      { reverse: true },
      { from: { offset: (all[20]?.offset ?? 0) + 1 } },
      { to: { seq: 20 }, reverse: true },
      { from: { seq: 10 } },
    ] as StreamOptions[]) {
      for await (const each of streamChronicle(path, { ...options, positions: true })) {
        expect(each).toEqual(all[each.seq - 1]);
      }
    }
  });

  it('continues at its cursor after any event, in either direction, also in the middle of a page', async () => {
    const path = await numbered(40);
    appendFileSync(path, 'bad\n');
    for (const stop of [1, 7, 40]) {
      const first = streamChronicle<Numbered>(path);
      expect(first.cursor).toBeUndefined();
      for (let i = 0; i < stop; i += 1) await first.next();
      const cursor = first.cursor ?? '';
      expect(await numbers(path, { from: { cursor } })).toEqual(range(stop, 40));
      // Leaving the stream changes nothing about where it was.
      await first.return();
      expect(first.cursor).toBe(cursor);

      const back = streamChronicle<Numbered>(path, { reverse: true });
      for (let i = 0; i < stop; i += 1) await back.next();
      const before = back.cursor ?? '';
      expect(await numbers(path, { to: { cursor: before } })).toEqual(range(0, 40 - stop));
      await back.return();
    }
  });

  it('knows its place also among characters that are no ASCII', async () => {
    const path = freshPath();
    await appendEvents(
      path,
      range(0, 20).map((n) => event({ n, text: 'ä€😀'.repeat(n % 4) })),
    );
    const stream = streamChronicle<Numbered>(path);
    for (let n = 0; n < 20; n += 1) {
      await stream.next();
      const cursor = stream.cursor ?? '';
      expect(await numbers(path, { from: { cursor } })).toEqual(range(n + 1, 20));
    }
  });

  it('begins with the cursor that it was given', async () => {
    const path = await numbered(3);
    const whole = streamChronicle(path);
    for await (const each of whole) expect(each).toBeDefined();
    const { cursor = '' } = whole;
    const rest = streamChronicle(path, { from: { cursor } });
    expect(rest.cursor).toBe(cursor);
    expect(await rest.next()).toEqual({ done: true, value: undefined });
    expect(rest.cursor).toBe(cursor);
    const back = streamChronicle<Numbered>(path, { reverse: true, from: { cursor } });
    expect(back.cursor).toBeUndefined();
    const first = streamChronicle<Numbered>(path, { reverse: true, limit: 3 });
    for await (const each of first) expect(each).toBeDefined();
    const to = { cursor: first.cursor ?? '' };
    const none = streamChronicle<Numbered>(path, { reverse: true, to });
    expect((await none.next()).done).toBe(true);
    expect(none.cursor).toBe(to.cursor);
  });

  it('rejects with ECONFLICT where the file of the cursor is gone', async () => {
    const path = await numbered(3);
    const stream = streamChronicle(path);
    await stream.next();
    const { cursor = '' } = stream;
    await stream.return();
    renameSync(path, `${path}.old`);
    const from = { cursor };
    expectCode(await rejection(streamChronicle(path, { from }).next()), 'ECONFLICT');
    await numbered(3, path);
    expectCode(await rejection(streamChronicle(path, { from }).next()), 'ECONFLICT');
  });

  it('reads the file as it was when the first event was asked for', async () => {
    const path = await numbered(2);
    const stream = streamChronicle<Numbered>(path);
    await stream.next();
    await appendEvents(path, [event({ n: 2 })]);
    expect((await stream.next()).value?.n).toBe(1);
    expect((await stream.next()).done).toBe(true);
  });

  it('closes the file when it is left, at its end, and on return', async () => {
    const path = written(100_000);
    for await (const each of streamChronicle<Numbered>(path)) if (each.n === 3) break;
    expect(descriptorsOf(path)).toBe(0);
    const stream = streamChronicle(path);
    await stream.next();
    expect(descriptorsOf(path)).toBe(1);
    expect(await stream.return('left')).toEqual({ done: true, value: 'left' });
    expect(descriptorsOf(path)).toBe(0);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    for await (const each of streamChronicle(path)) expect(each).toBeDefined();
    expect(descriptorsOf(path)).toBe(0);
    const failing = streamChronicle(path, { onBadLine: 'throw' });
    appendFileSync(path, 'bad\n');
    await rejection(
      (async () => {
        for await (const each of failing) expect(each).toBeDefined();
      })(),
    );
    expect(descriptorsOf(path)).toBe(0);
  });

  it.runIf(Symbol.asyncDispose)('is disposed of by await using', async () => {
    const path = written(100_000);
    const stream = streamChronicle(path) as any;
    await stream.next();
    await stream[Symbol.asyncDispose]();
    expect(descriptorsOf(path)).toBe(0);
  });

  it('serves calls of next that do not wait for each other in their order', async () => {
    const path = await numbered(3000);
    const stream = streamChronicle<Numbered>(path);
    const results = await Promise.all(range(0, 3002).map(() => stream.next()));
    expect(results.slice(0, 3000).map(({ value }) => value?.n)).toEqual(range(0, 3000));
    expect(results.slice(3000).map(({ done }) => done)).toEqual([true, true]);
  });

  it('blocks no other reader, however many streams are open', async () => {
    const path = written(100_000);
    const streams = range(0, 60).map(() => streamChronicle(path));
    await Promise.all(streams.map((stream) => stream.next()));
    expect(await readChronicle(path)).toHaveLength(100_000);
    await Promise.all(streams.map((stream) => stream.return()));
    expect(descriptorsOf(path)).toBe(0);
  });

  it('gives nothing more once return was called', async () => {
    const stream = streamChronicle(written(100));
    await stream.next();
    const left = stream.return();
    expect((await stream.next()).done).toBe(true);
    await left;
  });

  it('rejects with the reason of its signal, and then is over', async () => {
    const path = written(100_000);
    const reason = new Error('enough');
    const controller = new AbortController();
    const stream = streamChronicle(path, { signal: controller.signal });
    await stream.next();
    controller.abort(reason);
    expect(await rejection(stream.next())).toBe(reason);
    expect((await stream.next()).done).toBe(true);
    expect(descriptorsOf(path)).toBe(0);
    const late = streamChronicle(path, { signal: AbortSignal.abort(reason) });
    expect(await rejection(late.next())).toBe(reason);
  });

  it('never throws at the call: the first step rejects for a bad argument', async () => {
    const path = await numbered(3);
    for (const options of [
      5,
      { from: 5 },
      { from: {} },
      { from: { seq: 0 } },
      { from: { seq: 1, offset: 1 } },
      { from: { offset: -1 } },
      { from: { time: 'soon' } },
      { from: { time: new Date('nonsense') } },
      { from: { cursor: 'nonsense' } },
      { from: { eventId: 'nobody' } },
      { from: { line: 3 } },
      { to: 'middle' },
      { where: { type: [] } },
      { where: { kind: 'X' } },
      { where: { tags: [5] } },
      { where: { since: 1.5 } },
      { where: { actor: 'me' } },
      { limit: -1 },
      { limit: 1.5 },
      { skip: 1 },
      {
        get where(): never {
          throw new Error('no');
        },
      },
    ]) {
      const stream = streamChronicle(path, options as never);
      expectCode(await rejection(stream.next()), 'EVALIDATION');
      expect((await stream.next()).done).toBe(true);
    }
    expectCode(await rejection(streamChronicle('x.txt').next()), 'EVALIDATION');
    expectCode(await rejection(streamChronicle(5 as never).next()), 'EVALIDATION');
    expect(existsSync('x.txt')).toBe(false);
  });

  it('does with bad lines as onBadLine says, with their numbers wherever it begins', async () => {
    const path = freshPath();
    writeFileSync(path, '{"n":0}\nbad\n{"n":1}\nworse\n{"n":2}\n');
    const warnings = await warningsOf('CHRONICLE_BAD_LINES', () => numbers(path));
    expect(warnings).toHaveLength(1);
    const told = async (options: StreamOptions) => {
      const bad: BadLine[] = [];
      await numbers(path, { ...options, onBadLine: (line) => bad.push(line) });
      return bad.map(({ line, offset, kind }) => [line, offset, kind]);
    };
    const first = [2, 8, 'malformed'];
    const second = [4, 20, 'malformed'];
    expect(await told({})).toEqual([first, second]);
    expect(await told({ reverse: true })).toEqual([second, first]);
    expect(await told({ from: { offset: 12 } })).toEqual([second]);
    expect(await told({ from: { seq: 2 } })).toEqual([second]);
    expect(await told({ where: { type: 'NONE' } })).toEqual([first, second]);
    const error = await rejection(numbers(path, { reverse: true, onBadLine: 'throw' }));
    expectCode(error, 'ECORRUPT');
    expect([error.line, error.offset]).toEqual([4, 20]);
  });
});
