import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { ChronicleChannels } from '../index.js';
import { Driven } from './driven';
import { chronicle, failure, note, scratchFolder } from './scratch';
import { binding } from './support';

const scratch = scratchFolder();
const root = fileURLToPath(new URL('..', import.meta.url));

type Channel = keyof ChronicleChannels;
const listeners: [Channel, (message: unknown) => void][] = [];

/** Everything that a channel publishes from now on, until the test ends. */
function heard<C extends Channel>(channel: C): ChronicleChannels[C][] {
  const messages: ChronicleChannels[C][] = [];
  const listen = (message: unknown) => void messages.push(message as ChronicleChannels[C]);
  subscribe(channel, listen);
  listeners.push([channel, listen]);
  return messages;
}

function hearNoMore(): void {
  for (const [channel, listen] of listeners.splice(0)) unsubscribe(channel, listen);
}

afterEach(hearNoMore);

describe('chronicleStats', () => {
  it('counts what was acknowledged, the batches and the syncs', async () => {
    const path = scratch.path('log.sage');
    const before = chronicle.chronicleStats();
    await chronicle.append(path, note('a'));
    await chronicle.appendEvents(path, [note('a'), note('b'), note('c')]);
    chronicle.appendEventSync(path, note('b'));
    await failure(chronicle.append(path, note('d'), { expectedTail: 'another' }));
    const lock = await chronicle.lockChronicles([path]);
    await lock.append(path, note('e'));
    await lock.release();
    // An append is counted out just after it is settled.
    expect(chronicle.flushSync()).toBe(true);
    const after = chronicle.chronicleStats();
    expect(after.appends - before.appends).toBe(4);
    expect(after.duplicates - before.duplicates).toBe(2);
    expect(after.batches - before.batches).toBe(3);
    expect(after.syncs - before.syncs).toBeGreaterThanOrEqual(3);
    expect([after.pending, after.pendingBytes]).toEqual([0, 0]);
    // Five batches that came to a decision, a lock, and the batch under it.
    expect(after.lockWait.count - before.lockWait.count).toBe(6);
  });

  it('reports pending appends, and the time waited for locks', async () => {
    const path = scratch.path('log.sage');
    const lock = await chronicle.lockChronicles([path]);
    const before = chronicle.chronicleStats().lockWait;
    const waiting = chronicle.append(path, note('a'), { lockTimeoutMs: 60_000 });
    expect(chronicle.chronicleStats()).toMatchObject({ pending: 1 });
    expect(chronicle.chronicleStats().pendingBytes).toBeGreaterThan(100);
    const timedOut = chronicle.append(path, note('b'), { lockTimeoutMs: 120 });
    expect((await failure(timedOut)).code).toBe('ELOCK_TIMEOUT');
    await lock.release();
    await waiting;
    expect(chronicle.flushSync()).toBe(true);
    const { pending, lockWait } = chronicle.chronicleStats();
    expect(pending).toBe(0);
    expect(lockWait.count - before.count).toBe(1);
    expect(lockWait.totalMs - before.totalMs).toBeGreaterThan(100);
    expect(lockWait.maxMs).toBeGreaterThan(100);
    const bounds = lockWait.buckets.map((bucket) => bucket.leMs);
    expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
    expect(bounds.at(-1)).toBe(Infinity);
    const short = (wait: typeof lockWait) =>
      wait.buckets.filter(({ leMs }) => leMs <= 100).reduce((sum, { count }) => sum + count, 0);
    expect(short(lockWait)).toBe(short(before));
    const all = lockWait.buckets.reduce((sum, { count }) => sum + count, 0);
    expect(all).toBe(lockWait.count);
  });
});

describe('the channel', () => {
  it('append reports the outcome of each call', async () => {
    const path = scratch.path('log.sage');
    const messages = heard('sage:chronicle:append');
    const first = await chronicle.append(path, note('a'));
    const both = await chronicle.appendEvents(path, [note('b'), note('c')]);
    const now = chronicle.appendEventSync(path, note('d'));
    const error = await failure(chronicle.append(path, note('e'), { expectedTail: null }));
    const wrong = await failure(chronicle.append('a.txt', note('e')));
    const ends = messages.map(({ path: told, receipts, error: failed }) => [
      told,
      receipts,
      failed,
    ]);
    expect(ends).toEqual([
      [path, [first], undefined],
      [path, both, undefined],
      [path, [now], undefined],
      [path, undefined, error],
      ['a.txt', undefined, wrong],
    ]);
    for (const { durationMs } of messages) expect(durationMs).toBeGreaterThanOrEqual(0);
    hearNoMore();
    await chronicle.append(path, note('f'));
    expect(messages).toHaveLength(5);
  });

  it('batch reports each batch once, however many calls share it', async () => {
    const path = scratch.path('log.sage');
    const messages = heard('sage:chronicle:batch');
    const appends = Array.from({ length: 40 }, (_, n) => chronicle.append(path, note(`m:${n}`)));
    await Promise.all(appends);
    const sum = (of: (message: (typeof messages)[number]) => number) =>
      messages.reduce((total, message) => total + of(message), 0);
    expect(messages.length).toBeLessThan(40);
    expect([sum((m) => m.appends), sum((m) => m.events), sum((m) => m.bytes)]).toEqual([
      40,
      40,
      statSync(path).size,
    ]);
    for (const message of messages) {
      expect(message).toMatchObject({ path, duplicates: 0 });
      expect(message.lockWaitMs).toBeGreaterThanOrEqual(0);
      expect(message.syncMs).toBeGreaterThan(0);
    }
    const seen = messages.length;
    await chronicle.append(path, note('m:0'));
    chronicle.appendEventSync(path, note('sync'));
    // The message of the synchronous append arrives in the next turn.
    await chronicle.append(path, note('os'), { durability: 'os' });
    const later = messages.slice(seen).map(({ events, duplicates }) => [events, duplicates]);
    expect(later).toEqual([
      [0, 1],
      [1, 0],
      [1, 0],
    ]);
    expect(messages.at(-1)).not.toHaveProperty('syncMs');
    hearNoMore();
    await chronicle.append(path, note('unheard'));
    expect(messages).toHaveLength(seen + 3);
  });

  it('lock reports acquired locks and timeouts', async () => {
    const path = scratch.path('log.sage');
    const messages = heard('sage:chronicle:lock');
    const other = new Driven();
    const number = await other.value('lock', [path]);
    await failure(chronicle.append(path, note('a'), { lockTimeoutMs: 50 }));
    await failure(chronicle.lockChronicles([path], { lockTimeoutMs: 0 }));
    await other.value('unlock', number);
    await chronicle.append(path, note('a'), { lockTimeoutMs: 60_000 });
    await (await chronicle.lockChronicles([path])).release();
    expect(messages.map((message) => [message.path, message.acquired])).toEqual([
      [path, false],
      [path, false],
      [path, true],
      [path, true],
    ]);
    expect(messages[0]?.waitedMs).toBeGreaterThanOrEqual(50);
    if (process.platform === 'linux') {
      expect(messages.map((message) => message.holderPid)).toEqual([
        other.child.pid,
        other.child.pid,
        undefined,
        undefined,
      ]);
    }
    await other.end();
  }, 60_000);

  it('badline reports each bad line of a reader, whatever its policy', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, '{"type":"A"}\nnonsense\n{"type":"B"}\n\0\0\n');
    const messages = heard('sage:chronicle:badline');
    expect(await chronicle.readChronicle(path)).toHaveLength(2);
    await failure(chronicle.readChronicle(path, { onBadLine: 'throw' }));
    const [malformed, nul] = [
      { path, kind: 'malformed', line: 2, offset: 13, length: 8 },
      { path, kind: 'nul', line: 4, offset: 35, length: 2 },
    ];
    expect(messages).toEqual([malformed, nul, malformed]);
  });

  it('whose subscriber throws harms no append', () => {
    const path = scratch.path('log.sage');
    const script = `
      const { subscribe } = require('node:diagnostics_channel');
      const { append } = require('./index.js');
      let thrown = 0;
      process.on('uncaughtException', (error) => { thrown += error.message === 'mine' ? 1 : 100; });
      for (const name of ['append', 'batch', 'lock']) {
        subscribe('sage:chronicle:' + name, () => { throw new Error('mine'); });
      }
      const event = { type: 'X', timestamp: 't', actor: { agent: 'a', id: 'b' } };
      append(${JSON.stringify(path)}, event).then(({ seq }) => {
        setImmediate(() => console.log(seq, thrown));
      });`;
    const out = execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' });
    expect(out).toBe('1 3\n');
    expect(readFileSync(path, 'utf8')).toMatch(/^\{.*\}\n$/);
  });

  it('let nothing of a batch cross the binding without subscribers', async () => {
    const path = scratch.path('log.sage');
    const drain = binding.Port.prototype.drain;
    const told: number[] = [];
    // Facts of batches are settlements with the number 0; those of requests begin at 1.
    binding.Port.prototype.drain = function watched(this: object) {
      const settled = drain.call(this);
      for (let i = 1; i < settled.length; i += 3) told.push(settled[i]);
      const appends = JSON.parse(settled[0] ?? '[]');
      for (let i = 0; i < appends.length; i += 2) told.push(appends[i]);
      return settled;
    };
    const toldBy = async (mark: string) => {
      told.length = 0;
      await chronicle.append(path, note(mark));
      return told.map((number) => number === 0);
    };
    try {
      expect(await toldBy('a')).toEqual([false]);
      heard('sage:chronicle:batch');
      expect(await toldBy('b')).toEqual([true, false]);
      hearNoMore();
      expect(await toldBy('c')).toEqual([false]);
    } finally {
      binding.Port.prototype.drain = drain;
    }
  });
});
