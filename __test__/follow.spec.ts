import {
  appendFileSync,
  readFileSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { append, followChronicle, readChronicle } from '../index.mjs';
import type { ChronicleIterator, FollowOptions } from '../index.mjs';
import { Child, endsWell, startTogether, within } from './child';
import { event, expectCode, folder, freshPath, rejection } from './support.js';
import { scratchFolder } from './scratch';
import { moreAcks, startWriter } from './writer';

interface Numbered {
  n: number;
}

const scratch = scratchFolder();
const HANG = 30_000;

/** A follow that the test steps through. */
function follow(path: string, options: FollowOptions = {}) {
  return followChronicle<Numbered>(path, { ...options, positions: false });
}

async function take(from: ChronicleIterator<Numbered>, count: number): Promise<number[]> {
  const met: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const { value, done } = await within(from.next(), HANG, `event ${i} did not come`);
    if (done) throw new Error(`ended after ${met.join(' ')}`);
    met.push(value.n);
  }
  return met;
}

const line = (n: number) => `{"n":${n}}\n`;

describe('followChronicle', () => {
  it('gives what is there, then what comes, to a file that need not exist yet', async () => {
    const path = freshPath();
    const following = follow(path);
    const first = take(following, 1);
    await append(path, event({ n: 0 }));
    expect(await first).toEqual([0]);
    await append(path, event({ n: 1 }));
    await append(path, event({ n: 2 }));
    expect(await take(following, 2)).toEqual([1, 2]);
    await following.return();
  });

  it('gives from the end on only what comes', async () => {
    const path = freshPath();
    writeFileSync(path, line(0));
    const following = follow(path, { from: 'end' });
    const next = take(following, 1);
    // It has a cursor as soon as it has looked where the end is.
    await vi.waitFor(() => expect(following.cursor).toBeDefined(), { timeout: HANG, interval: 5 });
    appendFileSync(path, line(1));
    expect(await next).toEqual([1]);
    await following.return();
  });

  it('ends normally when it is aborted, and its cursor continues at the end', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1));
    const controller = new AbortController();
    const met: number[] = [];
    const following = follow(path, { signal: controller.signal });
    for await (const { n } of following) {
      met.push(n);
      if (n === 1) controller.abort(new Error('not an error'));
    }
    expect(met).toEqual([0, 1]);
    expect(await following.next()).toEqual({ done: true, value: undefined });
    appendFileSync(path, line(2));
    const resumed = follow(path, { from: { cursor: following.cursor ?? '' } });
    expect(await take(resumed, 1)).toEqual([2]);
    await resumed.return();
    const never = follow(path, { signal: AbortSignal.abort() });
    expect((await never.next()).done).toBe(true);
  });

  it('ends while it waits, by abort and by return', async () => {
    const path = freshPath();
    const controller = new AbortController();
    const aborted = follow(path, { signal: controller.signal }).next();
    const left = follow(path);
    const waiting = left.next();
    await pause(50);
    controller.abort();
    expect((await within(aborted, HANG, 'no end')).done).toBe(true);
    const gone = await within(left.return(), HANG, 'no end');
    expect(gone.done).toBe(true);
    expect((await within(waiting, HANG, 'no end')).done).toBe(true);
  });

  it('stops in the middle of what is there when it is aborted', async () => {
    const path = freshPath();
    writeFileSync(path, Array.from({ length: 1000 }, (_, n) => line(n)).join(''));
    const controller = new AbortController();
    const following = follow(path, { signal: controller.signal });
    expect(await take(following, 10)).toHaveLength(10);
    controller.abort();
    expect((await following.next()).done).toBe(true);
    const rest = follow(path, { from: { cursor: following.cursor ?? '' } });
    expect(await take(rest, 1)).toEqual([10]);
    await rest.return();
  });

  it('continues through truncation, renaming, deletion and replacement', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1));
    const following = follow(path);
    expect(await take(following, 2)).toEqual([0, 1]);
    truncateSync(path, 0);
    // A look must find the file short: a file of the old length looks unchanged.
    await pause(500);
    appendFileSync(path, line(2));
    expect(await take(following, 1)).toEqual([2]);
    renameSync(path, `${path}.1`);
    appendFileSync(`${path}.1`, line(3));
    expect(await take(following, 1)).toEqual([3]);
    writeFileSync(path, line(4));
    expect(await take(following, 1)).toEqual([4]);
    unlinkSync(path);
    writeFileSync(path, line(5));
    expect(await take(following, 1)).toEqual([5]);
    writeFileSync(`${path}.new`, line(4) + line(5) + line(6));
    renameSync(`${path}.new`, path);
    expect(await take(following, 1)).toEqual([6]);
    await following.return();
  });

  it('gives only what matches', async () => {
    const path = freshPath();
    const following = follow(path, { where: { type: 'WANTED' } });
    const next = take(following, 2);
    for (const [n, type] of ['WANTED', 'OTHER', 'WANTED'].entries()) {
      await append(path, event({ n, type }));
    }
    expect(await next).toEqual([0, 2]);
    await following.return();
  });

  it('gives positions with the numbers of the file', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1));
    const following = followChronicle(path, { positions: true, from: { offset: 1 } });
    expect((await following.next()).value).toEqual({
      event: { n: 1 },
      seq: 2,
      offset: 8,
      length: 7,
    });
    await following.return();
  });

  it('waits by the clock of the system, not by timers that a test has replaced', async () => {
    const path = freshPath();
    vi.useFakeTimers();
    try {
      const following = follow(path);
      const next = following.next();
      appendFileSync(path, line(0));
      expect((await next).value).toEqual({ n: 0 });
      await following.return();
    } finally {
      vi.useRealTimers();
    }
  });

  it('rejects its first step for a bad argument, a directory or an unknown id, and is over then', async () => {
    const path = freshPath();
    for (const [at, options] of [
      ['x.txt', {}],
      [path, { to: 'end' }],
      [path, { limit: 3 }],
      [path, { from: { cursor: 'nonsense' } }],
      [path, { from: { eventId: 'nobody' } }],
      [folder(), { anyExtension: true }],
    ] as [string, FollowOptions][]) {
      const following = followChronicle(at, options);
      expectCode(await rejection(within(following.next(), HANG, 'no answer')), 'EVALIDATION');
      expect((await following.next()).done).toBe(true);
    }
  });

  it('reports bad lines as they appear, and rejects at the first one if requested', async () => {
    const path = freshPath();
    const bad: number[] = [];
    const following = follow(path, { onBadLine: ({ line: number }) => bad.push(number) });
    const next = take(following, 1);
    appendFileSync(path, `bad\n${line(1)}`);
    expect(await next).toEqual([1]);
    expect(bad).toEqual([1]);
    await following.return();
    const strict = follow(path, { onBadLine: 'throw' });
    expectCode(await rejection(strict.next()), 'ECORRUPT');
  });

  it('delivers each event of each file once, in order, while processes append and files are replaced, and continues in another process', async () => {
    const path = scratch.path('log.sage');
    const out = scratch.path('marks');
    const clients = ['a', 'b', 'c', 'd'];
    const start = (job: object) => Child.program('follow-process.mjs', JSON.stringify(job));
    const first = start({ path, out });
    const writers = clients.map((client) => startWriter({ path, client, inFlight: 50 }));
    await startTogether(writers);
    for (const time of [0, 1]) {
      // Some events of each file are read before it is removed, and more than a second passes
      // between two files.
      await Promise.all([pause(1200), moreAcks(writers, 1500)]);
      renameSync(path, `${path}.${time}`);
    }
    await moreAcks(writers, 500);
    const gone = (await marksOf(`${path}.0`)).length + (await marksOf(`${path}.1`)).length;
    await first.until(() => progressOf(first) > gone + 200);
    first.send('0');
    const [, cursor] = JSON.parse(await first.line((text) => text.startsWith('["stopped"')));
    const before = readFileSync(out, 'utf8').split('\n').length - 1;
    const second = start({ path, out, cursor });
    await moreAcks(writers, 500);
    for (const writer of writers) writer.send('stop');
    await endsWell(writers);
    const files = [`${path}.0`, `${path}.1`, path];
    const expected = (await Promise.all(files.map(marksOf))).flat();
    expect(expected.length).toBeGreaterThan(20_000);
    second.send(String(expected.length - before));
    await endsWell([first, second]);
    expect(readFileSync(out, 'utf8').trimEnd().split('\n')).toEqual(expected);
  }, 180_000);

  it('keeps its memory flat, however many events it has given', async () => {
    const path = scratch.path('log.sage');
    const many = 200_000;
    const filler = 'x'.repeat(400);
    for (let n = 0; n < many; n += 10_000) {
      const part = Array.from(
        { length: 10_000 },
        (_, i) => `{"mark":"${n + i}","f":"${filler}"}\n`,
      );
      appendFileSync(path, part.join(''));
    }
    const follower = Child.program(
      'follow-process.mjs',
      JSON.stringify({ path, out: scratch.path('marks'), stopAt: many }),
    );
    await endsWell([follower]);
    const heaps = follower.lines
      .filter((text) => text.startsWith('["progress"'))
      .map((text): number => JSON.parse(text)[2]);
    expect(heaps).toHaveLength(many / 100);
    // The file has 90 MB.
    expect(Math.max(...heaps)).toBeLessThan(40 * 2 ** 20);
  }, 120_000);
});

/** The number of events that a follower has reported. */
function progressOf(child: Child): number {
  const last = child.lines.findLast((text) => text.startsWith('["progress"'));
  return last === undefined ? 0 : JSON.parse(last)[1];
}

async function marksOf(path: string): Promise<string[]> {
  const events = await readChronicle<{ mark: string }>(path, { anyExtension: true });
  return events.map(({ mark }) => mark);
}
