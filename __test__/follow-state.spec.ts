import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { append, followChronicle, openChronicle } from '../index.mjs';
import type { FollowIterator, FollowOptions } from '../index.mjs';
import { within } from './child';
import { event, expectCode, folder, freshPath, rejection } from './support.js';

interface Numbered {
  n: number;
}

const HANG = 30_000;
const line = (n: number) => `{"n":${n}}\n`;

function follow(path: string, options: FollowOptions = {}) {
  return followChronicle<Numbered>(path, { ...options, positions: false });
}

async function take(from: FollowIterator<Numbered>, count: number): Promise<number[]> {
  const met: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const { value, done } = await within(from.next(), HANG, `event ${i} did not come`);
    if (done) throw new Error(`ended after ${met.join(' ')}`);
    met.push(value.n);
  }
  return met;
}

function replaceByCopy(path: string) {
  copyFileSync(path, `${path}~`);
  renameSync(`${path}~`, path);
}

describe('the end of a follow', () => {
  it('is fixed during the call, whenever the first event is asked for', async () => {
    const path = freshPath();
    await append(path, event({ n: 0 }));
    const following = follow(path, { from: 'end' });
    await append(path, event({ n: 1 }));
    expect(await take(following, 1)).toEqual([1]);
    const waiting = follow(path, { from: 'end' });
    const next = take(waiting, 1);
    await append(path, event({ n: 2 }));
    expect(await next).toEqual([2]);
    await Promise.all([following.return(), waiting.return()]);
  });

  it('is known again in a copy, here and by its cursor', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1));
    const following = follow(path, { from: 'end' });
    await following.ready;
    const { cursor } = following;
    replaceByCopy(path);
    appendFileSync(path, line(2));
    expect(await take(following, 1)).toEqual([2]);
    const other = follow(path, { from: { cursor: cursor ?? '' } });
    expect(await take(other, 1)).toEqual([2]);
    await Promise.all([following.return(), other.return()]);
  });
});

describe('ready and live', () => {
  it('report that a follow has begun and that it has caught up', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1));
    let caughtUp = 0;
    const following = follow(path, { onCaughtUp: () => (caughtUp += 1) });
    expect(following.live).toBe(false);
    await within(following.ready, HANG, 'not ready');
    expect(following.cursor).toBeDefined();
    expect(await take(following, 1)).toEqual([0]);
    expect([following.live, caughtUp]).toEqual([false, 0]);
    expect(await take(following, 1)).toEqual([1]);
    expect(following.live).toBe(true);
    const next = take(following, 1);
    await vi.waitFor(() => expect(caughtUp).toBe(1), { timeout: HANG, interval: 5 });
    appendFileSync(path, line(2));
    expect(await next).toEqual([2]);
    expect(caughtUp).toBe(1);
    await following.return();
    expect(following.live).toBe(false);
  });

  it('reject when the follow ends before, and the first step does as well, never unhandled', async () => {
    const path = freshPath();
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    try {
      const bad = follow(path, { from: { eventId: 'nobody' } });
      expectCode(await rejection(within(bad.ready, HANG, 'no answer')), 'EVALIDATION');
      expectCode(await rejection(bad.next()), 'EVALIDATION');
      expect((await bad.next()).done).toBe(true);
      void follow(path, { from: { eventId: 'nobody' } }).ready;
      const left = follow(path);
      await left.return();
      expectCode(await rejection(left.ready), 'ECLOSED');
      const reason = new Error('stop');
      const aborted = follow(path, { signal: AbortSignal.abort(reason) });
      expect(await rejection(aborted.ready)).toBe(reason);
      expect((await aborted.next()).done).toBe(true);
      const log = await openChronicle(path);
      expectCode(await rejection(log.follow({ nonsense: 1 } as object).ready), 'EVALIDATION');
      await pause(50);
    } finally {
      process.off('unhandledRejection', unhandled);
    }
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('do not wait for the event that a step waits for', async () => {
    const following = follow(freshPath());
    const next = following.next();
    await within(following.ready, HANG, 'not ready');
    await following.return();
    expect((await next).done).toBe(true);
  });

  it('are those of the follow of a handle', async () => {
    const path = freshPath();
    const log = await openChronicle(path);
    const following = log.follow({ from: 'end' });
    await within(following.ready, HANG, 'not ready');
    expect(following.live).toBe(true);
    await log.close();
  });
});

describe('onFile', () => {
  it('is called before the first event of a file that is not the one before', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1) + line(2));
    const states: string[] = [];
    const given: unknown[] = [];
    const following = follow(path, { onFile: (state) => states.push(`${state} ${given.length}`) });
    const go = async (count: number) => given.push(...(await take(following, count)));
    await go(3);
    replaceByCopy(path);
    appendFileSync(path, line(3));
    await go(1);
    expect(states).toEqual([]);
    renameSync(path, `${path}.1`);
    writeFileSync(path, line(10) + line(11));
    await go(2);
    expect(states).toEqual(['next 4']);
    writeFileSync(`${path}.new`, line(11) + line(12));
    renameSync(`${path}.new`, path);
    await go(1);
    expect(states).toEqual(['next 4', 'rewritten 6']);
    writeFileSync(path, line(20) + line(21) + line(22) + line(23));
    await go(4);
    expect(states).toEqual(['next 4', 'rewritten 6', 'unknown 7']);
    await following.return();
  });

  it('reads a file that was rewritten from its start if onRewrite asks for it', async () => {
    const path = freshPath();
    writeFileSync(path, line(0) + line(1));
    const states: string[] = [];
    const following = follow(path, {
      onRewrite: 'restart',
      onFile: (state) => states.push(state),
    });
    expect(await take(following, 2)).toEqual([0, 1]);
    writeFileSync(`${path}.new`, line(1) + line(0));
    renameSync(`${path}.new`, path);
    expect(await take(following, 2)).toEqual([1, 0]);
    expect(states).toEqual(['rewritten']);
    const error = await rejection(follow(path, { onRewrite: 'x' as 'restart' }).next());
    expectCode(error, 'EVALIDATION');
    await following.return();
  });
});

describe('a callback that throws', () => {
  it('ends its follow with its own error, gives nothing away, and harms no other', async () => {
    const path = freshPath();
    writeFileSync(path, line(0));
    const thrown = new Error('mine');
    const fail = () => {
      throw thrown;
    };
    const other = follow(path);
    expect(await take(other, 1)).toEqual([0]);
    const caught = follow(path, { onCaughtUp: fail });
    expect(await take(caught, 1)).toEqual([0]);
    const last = caught.next();
    const behind = caught.next();
    expect(await rejection(within(last, HANG, 'it hangs'))).toBe(thrown);
    expect((await within(behind, HANG, 'it hangs')).done).toBe(true);
    const filed = follow(path, { onFile: fail });
    expect(await take(filed, 1)).toEqual([0]);
    renameSync(path, `${path}.1`);
    writeFileSync(path, line(1));
    expect(await rejection(within(filed.next(), HANG, 'it hangs'))).toBe(thrown);
    // The event is not lost: the cursor stands before it.
    const again = follow(path, { from: { cursor: filed.cursor ?? '' } });
    expect(await take(again, 1)).toEqual([1]);
    expect(await take(other, 1)).toEqual([1]);
    await Promise.all([again.return(), other.return()]);
  });
});

describe('a follow whose consumer is slow', () => {
  it('misses no file that stood at the path meanwhile', async () => {
    const path = freshPath();
    writeFileSync(path, line(0));
    const following = follow(path);
    expect(await take(following, 1)).toEqual([0]);
    for (const n of [1, 2]) {
      // To a name that is not looked for, so that only the path shows it.
      renameSync(path, join(dirname(path), `gone-${n}`));
      writeFileSync(path, line(n));
      await pause(600);
    }
    expect(await take(following, 2)).toEqual([1, 2]);
    await following.return();
  });
});

describe('what stands in the way for a moment', () => {
  it('is waited through, with one warning', async () => {
    const path = freshPath();
    writeFileSync(path, line(0));
    const warnings: string[] = [];
    const note = (warning: Error & { code?: string }) => warnings.push(warning.code ?? '');
    process.on('warning', note);
    try {
      const following = follow(path);
      expect(await take(following, 1)).toEqual([0]);
      renameSync(path, `${path}.1`);
      mkdirSync(path);
      const next = take(following, 1);
      await vi.waitFor(() => expect(warnings).not.toEqual([]), { timeout: HANG, interval: 5 });
      await pause(300);
      rmdirSync(path);
      writeFileSync(path, line(1));
      expect(await next).toEqual([1]);
      expect(warnings).toEqual(['CHRONICLE_FOLLOW_WAITS']);
      await following.return();
    } finally {
      process.off('warning', note);
    }
  });
});

describe('a follow that is dropped', () => {
  it.runIf(process.platform === 'linux')(
    'keeps neither its descriptor nor its watcher, from a handle and without one',
    () => {
      const script = `
        const fs = require('node:fs');
        const { dirname, join } = require('node:path');
        const { setTimeout: pause } = require('node:timers/promises');
        const { followChronicle, openChronicle } = require(${JSON.stringify(join(__dirname, '..'))});
        const base = process.argv[1];
        const texts = (folder, read) => fs.readdirSync(folder).flatMap((name) => {
          try { return [read(join(folder, name))]; } catch { return []; }
        });
        const open = () =>
          texts('/proc/self/fd', fs.readlinkSync).filter((target) => target.startsWith(base)).length;
        // Each watches a folder of its own, because those of one folder are one to the system.
        const watchers = () =>
          texts('/proc/self/fdinfo', (path) => fs.readFileSync(path, 'utf8'))
            .join('').split('inotify wd:').length - 1;
        let count = 0;
        async function drop(begin) {
          for (let n = 0; n < 10; n += 1) {
            const path = join(base, String(count++), 'log.sage');
            fs.mkdirSync(dirname(path));
            fs.writeFileSync(path, '{"n":0}\\n');
            const following = await begin(path);
            await following.next();
            // It has to wait once, so that it has a watcher.
            const next = following.next();
            const before = watchers();
            for (let i = 0; i < 500 && watchers() === before; i += 1) await pause(2);
            fs.appendFileSync(path, '{"n":1}\\n');
            await next;
          }
        }
        async function main() {
          await drop(async (path) => (await openChronicle(path)).follow());
          await drop((path) => followChronicle(path));
          const held = [open() > 0, watchers() > 0];
          for (let n = 0; n < 200 && open() + watchers() > 0; n += 1) {
            global.gc();
            await pause(20);
          }
          console.log(JSON.stringify({ held, open: open(), watchers: watchers() }));
        }
        main();
      `;
      const out = execFileSync(process.execPath, ['--expose-gc', '-e', script, folder()], {
        encoding: 'utf8',
        timeout: HANG,
      });
      expect(JSON.parse(out)).toEqual({ held: [true, true], open: 0, watchers: 0 });
    },
  );
});
