// The options of an append, one by one: decisions under the lock, and waits for the lock.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  append,
  appendEvent,
  appendEvents,
  appendEventSync,
  computeEventId,
  flushSync,
  lockChronicles,
  readChronicle,
  verifyEventId,
} from '../index.mjs';
import type { AppendOptions, Receipt } from '../index.mjs';
import { event, expectCode, freshPath, linesOf, rejection, thrown, warningsOf } from './support.js';

describe('idempotencyKey', () => {
  it('recognises a retry with another timestamp, whose receipt is that of the first', async () => {
    const path = freshPath();
    const options = { idempotencyKey: 'order-1' };
    const first = await append(path, event(), options);
    const retry = await append(path, event({ timestamp: 'later' }), options);
    expect(retry).toEqual({ ...first, duplicate: true, identical: false });
    expect(linesOf(path)).toHaveLength(1);
  });

  it('is stored as a field, part of the hash, and counts like one in the event', async () => {
    const path = freshPath();
    const keyed = event({ idempotencyKey: 'k' });
    const { eventId } = await append(path, event(), { idempotencyKey: 'k' });
    expect(eventId).toBe(await computeEventId(keyed));
    expect(linesOf(path)[0]).toBe(
      JSON.stringify({ ...event({ eventId }), ...keyed }).replace(
        /^(\{"type":"TEST_EVENT")(.*),"eventId":"(\w+)"(.*)$/,
        '$1,"eventId":"$3"$2$4',
      ),
    );
    expect((await append(path, keyed)).duplicate).toBe(true);
    expect((await append(path, keyed, { idempotencyKey: 'k' })).duplicate).toBe(true);
    expect((await append(path, event({ idempotencyKey: 'k', n: 2 }))).duplicate).toBe(true);
    expect(linesOf(path)).toHaveLength(1);
  });

  it('shares one name space with ids, and the record of the id wins', async () => {
    const path = freshPath();
    await append(path, event({ eventId: 'one', n: 1 }));
    await append(path, event({ eventId: 'two', n: 2, idempotencyKey: 'key' }));
    const byKey = await append(path, event({ n: 3 }), { idempotencyKey: 'one' });
    expect(byKey).toMatchObject({ seq: 1, duplicate: true, identical: false });
    const byId = await append(path, event({ eventId: 'key' }), { onIdReuse: 'accept' });
    expect(byId).toMatchObject({ seq: 2, duplicate: true });
    const both = await append(path, event({ eventId: 'two', n: 2, idempotencyKey: 'one' }));
    expect(both).toMatchObject({ seq: 2, duplicate: true });
    expect(linesOf(path)).toHaveLength(2);
  });

  it('may be any non-empty string, a lone surrogate too', async () => {
    const path = freshPath();
    for (const idempotencyKey of ['\ud800', 'ü', '"\\\n', 'x'.repeat(10_000)]) {
      const first = await append(path, event(), { idempotencyKey });
      expect(first.duplicate).toBe(false);
      const again = await append(path, event({ n: 1 }), { idempotencyKey });
      expect(again).toMatchObject({ seq: first.seq, duplicate: true });
    }
    expect(linesOf(path)).toHaveLength(4);
  });
});

describe('onIdReuse', () => {
  it('accepts by default, with one process warning, and says that it is not identical', async () => {
    const path = freshPath();
    await append(path, event({ eventId: 'x', n: 1 }));
    let receipt: Receipt | undefined;
    const warnings = await warningsOf('CHRONICLE_ID_REUSED', async () => {
      receipt = await append(path, event({ eventId: 'x', n: 2 }));
    });
    expect(receipt).toMatchObject({ seq: 1, duplicate: true, identical: false });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]!.name).toBe('ChronicleWarning');
    const none = await warningsOf('CHRONICLE_ID_REUSED', async () => {
      await append(path, event({ eventId: 'x', n: 1 }));
      await append(path, event({ eventId: 'y', n: 1 }), { idempotencyKey: 'k' });
      await append(path, event({ eventId: 'z', n: 2 }), { idempotencyKey: 'k' });
    });
    expect(none).toEqual([]);
  });

  it('takes another key order for the same content', async () => {
    const path = freshPath();
    const { type, timestamp, actor } = event();
    await append(path, { type, timestamp, actor, eventId: 'x', n: 1, m: 2 });
    const receipt = await append(path, { m: 2, eventId: 'x', n: 1, actor, timestamp, type });
    expect(receipt).toMatchObject({ duplicate: true, identical: true });
  });

  it('rejects with ECONFLICT where that is asked for, and only other content', async () => {
    const path = freshPath();
    const options: AppendOptions = { onIdReuse: 'reject' };
    await append(path, event({ eventId: 'x', n: 1 }), options);
    expect((await append(path, event({ eventId: 'x', n: 1 }), options)).duplicate).toBe(true);
    const error = await rejection(append(path, event({ eventId: 'x', n: 2 }), options));
    expect(expectCode(error, 'ECONFLICT').written).toBe('no');
    expect(linesOf(path)).toHaveLength(1);
  });
});

describe('the error of expectedTail', () => {
  const conflict = async (log: string, expectedTail: string | null, n: number) => {
    const error = await rejection(append(log, event({ n }), { expectedTail }));
    return expectCode(error, 'ECONFLICT');
  };

  it('has the last record: its id and its number', async () => {
    const log = freshPath();
    expect(await conflict(log, 'nobody', 1)).toMatchObject({ actualTail: null, seq: 0 });
    const { eventId } = await append(log, event({ n: 1 }));
    const error = await conflict(log, null, 2);
    expect(error).toMatchObject({ actualTail: eventId, seq: 1, path: log, written: 'no' });
    expect(error.message).toBe(`expected an empty log, but the last record is ${eventId} (seq 1)`);
    await append(log, event({ n: 3 }), { computeId: false });
    const nameless = await conflict(log, eventId!, 4);
    expect(nameless.seq).toBe(2);
    expect(nameless).not.toHaveProperty('actualTail');
    expect(nameless.message).toContain('but the last record (seq 2) has no id');
  });

  it('has an id with a lone surrogate as it is, and counts the records of a batch before it', async () => {
    const log = freshPath();
    const odd = `\ud800 "quoted"`;
    await append(log, { ...event({ n: 1 }), eventId: odd });
    expect((await conflict(log, 'other', 2)).actualTail).toBe(odd);
    const [first, second] = await Promise.allSettled([
      append(log, event({ n: 3 })),
      append(log, event({ n: 4 }), { expectedTail: odd }),
    ]);
    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: { seq: 2 } });
  });

  it('comes from a synchronous append and from a lock, too', async () => {
    const log = freshPath();
    const { eventId } = await append(log, event({ n: 1 }));
    const thrownError = thrown(() => appendEventSync(log, event({ n: 2 }), { expectedTail: null }));
    expect(expectCode(thrownError, 'ECONFLICT')).toMatchObject({ actualTail: eventId, seq: 1 });
    const lock = await lockChronicles([log]);
    const refused = await rejection(lock.append(log, event({ n: 2 }), { expectedTail: 'x' }));
    expect(expectCode(refused, 'ECONFLICT')).toMatchObject({ actualTail: eventId, seq: 1 });
    await lock.release();
  });
});

describe('expectedTail', () => {
  it('is the id of the last record, or null for none', async () => {
    const path = freshPath();
    const conflict = async (expectedTail: string | null) =>
      expectCode(await rejection(append(path, event({ no: 1 }), { expectedTail })), 'ECONFLICT');
    await conflict('x');
    const first = await append(path, event({ n: 1 }), { expectedTail: null });
    await conflict(null);
    const second = await append(path, event({ n: 2 }), { expectedTail: first.eventId! });
    await conflict(first.eventId!);
    expect((await conflict('x')).written).toBe('no');
    expect(linesOf(path)).toHaveLength(2);

    // The retry of an append that succeeded resolves: a duplicate is decided first.
    const retry = await append(path, event({ n: 2 }), { expectedTail: first.eventId! });
    expect(retry).toEqual({ ...second, duplicate: true });
  });

  it('lets one of many win', async () => {
    const path = freshPath();
    const { eventId } = await append(path, event({ n: 'first' }));
    const racers = Array.from({ length: 20 }, (_, n) =>
      append(path, event({ n }), { expectedTail: eventId! }),
    );
    const settled = await Promise.allSettled(racers);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(linesOf(path)).toHaveLength(2);
  });
});

describe('chain', () => {
  it('links each record to the last one that has an id', async () => {
    const path = freshPath();
    const first = await append(path, event({ n: 1 }), { chain: true });
    await append(path, event({ n: 'no id' }), { computeId: false });
    const second = await append(path, event({ n: 2 }), { chain: true });
    const read = await readChronicle<Record<string, unknown>>(path);
    expect('prevEventId' in read[0]!).toBe(false);
    expect(read[2]).toMatchObject({ eventId: second.eventId, prevEventId: first.eventId });
    expect(read[2]!.idempotencyKey).toBe(await computeEventId(event({ n: 2 })));
    for (const n of [0, 2]) expect(await verifyEventId(read[n]!)).toBe(true);
  });

  it('recognises a retry', async () => {
    const path = freshPath();
    const first = await append(path, event({ n: 1 }), { chain: true });
    await append(path, event({ n: 2 }), { chain: true });
    const retry = await append(path, event({ n: 1 }), { chain: true });
    expect(retry).toMatchObject({ seq: first.seq, eventId: first.eventId, duplicate: true });
    expect(linesOf(path)).toHaveLength(2);
  });

  it('is unbroken under concurrent writers, batches among them', async () => {
    const path = freshPath();
    const options = { chain: true };
    await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        n % 2 === 0
          ? append(path, event({ n }), options)
          : appendEvents(path, [event({ n }), event({ n, second: true })], options),
      ),
    );
    const read = await readChronicle<{ eventId: string; prevEventId?: string }>(path);
    expect(read).toHaveLength(60);
    for (const [n, { prevEventId }] of read.entries()) {
      expect(prevEventId).toBe(n === 0 ? undefined : read[n - 1]!.eventId);
    }
  });
});

/** A process that holds the lock of a file until `release`; undefined without util-linux. */
async function holdLock(path: string): Promise<{ pid: number; release(): void } | undefined> {
  if (spawnSync('flock', ['--version']).status !== 0) {
    console.log('SKIPPED append-options: flock not found');
    return undefined;
  }
  writeFileSync(path, '', { flag: 'a' });
  // --no-fork: the process that holds the lock is the one that was started.
  const holder = spawn('flock', ['--no-fork', path, 'sh', '-c', 'echo locked; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void holder.kill());
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  return { pid: holder.pid!, release: () => holder.stdin.end('\n') };
}

describe('durability', () => {
  it('os is not durable, but for a duplicate of a record that was synced', async () => {
    const path = freshPath();
    const os = { durability: 'os' } as const;
    expect((await append(path, event({ n: 1 }))).durable).toBe(true);
    const again = await append(path, event({ n: 1 }), os);
    expect(again).toMatchObject({ duplicate: true, durable: true });
    expect((await append(path, event({ n: 2 }), os)).durable).toBe(false);
    const unsynced = await append(path, event({ n: 2 }), os);
    expect(unsynced).toMatchObject({ duplicate: true, durable: false });
    expect(await append(path, event({ n: 2 }))).toMatchObject({ duplicate: true, durable: true });
    expect((await append(path, event({ n: 2 }), os)).durable).toBe(true);
    const both = await appendEvents(path, [event({ n: 1 }), event({ n: 3 })], os);
    expect(both.map(({ durable }) => durable)).toEqual([false, false]);
  });
});

describe('the lock', () => {
  it('that is held elsewhere rejects with ELOCK_TIMEOUT at the deadline', async () => {
    const path = freshPath();
    const holder = await holdLock(path);
    if (!holder) return;
    for (const lockTimeoutMs of [0, 100]) {
      const error = expectCode(
        await rejection(append(path, event(), { lockTimeoutMs })),
        'ELOCK_TIMEOUT',
      );
      expect(error.path).toBe(path);
      expect(error.waitedMs).toBeGreaterThanOrEqual(lockTimeoutMs);
      if (process.platform === 'linux') expect(error.holderPid).toBe(holder.pid);
      expect(readFileSync(path, 'utf8')).toBe('');
    }
    expectCode(await rejection(appendEvent(path, event(), 50)), 'ELOCK_TIMEOUT');
    const sync = thrown(() => appendEventSync(path, event(), { lockTimeoutMs: 50 }));
    expectCode(sync, 'ELOCK_TIMEOUT');
    const waiting = append(path, event());
    holder.release();
    expect((await waiting).seq).toBe(1);
  });

  it("is tried once with 0, and calls of one process do not stand in each other's way", async () => {
    const path = freshPath();
    const calls = Array.from({ length: 200 }, (_, n) =>
      n % 5 === 0
        ? appendEvents(path, [event({ n })], { lockTimeoutMs: 0 })
        : appendEvent(path, event({ n }), 0),
    );
    await Promise.all(calls);
    expect(linesOf(path)).toHaveLength(200);
  });

  it('leaves flushSync with something that remains', async () => {
    const path = freshPath();
    const holder = await holdLock(path);
    if (!holder) return;
    const waiting = append(path, event(), { lockTimeoutMs: 60_000 });
    expect(flushSync({ timeoutMs: 50 })).toBe(false);
    holder.release();
    expect((await waiting).seq).toBe(1);
    expect(flushSync()).toBe(true);
  });
});

describe('signal', () => {
  /** A signal by shape only, which counts its listeners. */
  function countedSignal() {
    const listeners = new Set<() => void>();
    return {
      aborted: false,
      reason: undefined as unknown,
      added: 0,
      listeners,
      addEventListener(_type: 'abort', listener: () => void) {
        this.added += 1;
        listeners.add(listener);
      },
      removeEventListener(_type: 'abort', listener: () => void) {
        listeners.delete(listener);
      },
      abort(reason: unknown) {
        this.aborted = true;
        this.reason = reason;
        for (const listener of listeners) listener();
      },
    };
  }

  it('that is aborted already rejects with its reason as it is, and nothing is written', async () => {
    const path = freshPath();
    for (const reason of [new Error('mine'), 'text', { any: 'object' }, null]) {
      const signal = countedSignal();
      signal.abort(reason);
      expect(await rejection(append(path, event(), { signal }))).toBe(reason);
      expect(await rejection(appendEvent(path, event(), { signal }))).toBe(reason);
      expect(await rejection(appendEvents(path, [event()], { signal }))).toBe(reason);
      expect(await rejection(appendEvents(path, [], { signal }))).toBe(reason);
      expect(signal.listeners.size).toBe(0);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('without a reason rejects with an AbortError', async () => {
    const path = freshPath();
    const { reason: _, ...signal } = { ...countedSignal(), aborted: true };
    const errors = [
      append(path, event(), { signal }),
      appendEvents(path, [], { signal }),
      readChronicle(path, { signal }),
    ].map(rejection);
    for (const error of await Promise.all(errors)) {
      expect(error).toBeInstanceOf(DOMException);
      expect(error).toMatchObject({ name: 'AbortError', message: 'This operation was aborted' });
    }
  });

  it('that the event aborts while it is serialised is seen before anything is written', async () => {
    const path = freshPath();
    for (const call of [
      (value: any, signal: any) => append(path, value, { signal }),
      (value: any, signal: any) => appendEvents(path, [event(), value], { signal }),
    ]) {
      const signal = countedSignal();
      const reason = new Error('by the event');
      const value = event({
        toJSON() {
          signal.abort(reason);
          return event();
        },
      });
      expect(await rejection(call(value, signal))).toBe(reason);
      expect(signal.listeners.size).toBe(0);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('shared by many calls has one listener until the last of them has settled', async () => {
    const path = freshPath();
    const signal = countedSignal();
    const appended = Array.from({ length: 40 }, (_, n) => append(path, event({ n }), { signal }));
    expect(signal.listeners.size).toBe(1);
    await Promise.all(appended);
    expect(signal.added).toBe(1);
    expect(signal.listeners.size).toBe(0);
    await readChronicle(path, { signal });
    expect(signal.listeners.size).toBe(0);
  });

  it('shared by many calls gives all of them up', async () => {
    const path = freshPath();
    const holder = await holdLock(path);
    if (!holder) return;
    const controller = new AbortController();
    const options = { signal: controller.signal, lockTimeoutMs: 60_000 };
    const reason = new Error('all of you');
    const calls = Array.from({ length: 40 }, (_, n) =>
      rejection(append(path, event({ n }), options)),
    );
    controller.abort(reason);
    for (const error of await Promise.all(calls)) expect(error).toBe(reason);
    holder.release();
    expect(await append(path, event())).toMatchObject({ seq: 1 });
  });

  it('has no listener left once the append has settled', async () => {
    const signal = countedSignal();
    const path = freshPath();
    await append(path, event(), { signal });
    expect(signal.added).toBe(1);
    expect(signal.listeners.size).toBe(0);
    await rejection(append(path, event({ timestamp: '' }), { signal }));
    await rejection(append(path, event({ n: 1 }), { signal, expectedTail: 'nobody' }));
    expect(signal.listeners.size).toBe(0);
    signal.abort(new Error('too late'));
    expect(linesOf(path)).toHaveLength(1);
  });

  it('that is aborted during the call settles with the reason or the true outcome', async () => {
    const path = freshPath();
    for (let n = 0; n < 50; n += 1) {
      const controller = new AbortController();
      const reason = new Error(`stop ${n}`);
      const appended = append(path, event({ n }), { signal: controller.signal });
      if (n % 2 === 0) controller.abort(reason);
      else setImmediate(() => controller.abort(reason));
      const outcome = await appended.then(
        () => true,
        (error) => {
          expect(error).toBe(reason);
          return false;
        },
      );
      const there = (await readChronicle<{ n: number }>(path)).some((record) => record.n === n);
      expect(there).toBe(outcome);
    }
  });

  it('that is aborted while the lock is held elsewhere rejects at once', async () => {
    const path = freshPath();
    const holder = await holdLock(path);
    if (!holder) return;
    const signal = countedSignal();
    const reason = new Error('enough');
    const given = append(path, event({ given: 'up' }), { signal, lockTimeoutMs: 1e9 });
    const kept = append(path, event({ kept: true }), { lockTimeoutMs: 1e9 });
    // The holder keeps the lock, so only the signal can settle the first append.
    setImmediate(() => signal.abort(reason));
    expect(await rejection(given)).toBe(reason);
    expect(signal.listeners.size).toBe(0);
    holder.release();
    expect((await kept).seq).toBe(1);
    expect(await readChronicle(path)).toMatchObject([{ kept: true }]);
  });
});
