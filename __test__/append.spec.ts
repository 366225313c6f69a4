import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  append,
  appendEvent,
  appendEvents,
  appendEventSync,
  appendEventWithId,
  computeEventId,
  flushSync,
  readChronicle,
  verifyEventId,
} from '../index.mjs';
import type { AppendOptions, Receipt } from '../index.mjs';
import {
  event,
  expectCode,
  folder,
  freshPath,
  linesOf,
  rejection,
  thrown,
  warningsOf,
} from './support.js';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('a written line', () => {
  it('is the JSON text of the event with eventId right after type, and a newline', async () => {
    const path = freshPath();
    const value = { z: 1, ...event({ a: [1, { y: 1, x: 2 }], text: 'ü\u2028\n"\\' }) };
    const id = await computeEventId(value);
    await append(path, value);
    const { z, type, ...rest } = value;
    expect(readFileSync(path, 'utf8')).toBe(
      `${JSON.stringify({ z, type, eventId: id, ...rest })}\n`,
    );
    expect(await verifyEventId((await readChronicle(path))[0]!)).toBe(true);
  });

  it('keeps a given eventId where it was, whatever string it is', async () => {
    const path = freshPath();
    const values = ['mine', 'x'.repeat(5000), 'ü \u2028', '\ud800', '"\\'].map((eventId) => ({
      ...event(),
      eventId,
      last: 1,
    }));
    for (const value of values) {
      expect((await append(path, value)).eventId).toBe(value.eventId);
      expect((await append(path, value)).duplicate).toBe(true);
    }
    expect(linesOf(path)).toEqual(values.map((value) => JSON.stringify(value)));
  });

  it('is what JSON.stringify makes of the values, so that it verifies when read back', async () => {
    const path = freshPath();
    const odd = {
      date: new Date(0),
      map: new Map([[1, 2]]),
      gone: undefined,
      list: [undefined, () => {}, Symbol('s'), NaN, -0, 1e21, 5e-324],
      lone: '\ud800',
      10: 'ten',
      9: 'nine',
      ['__proto__']: { own: true },
      custom: { toJSON: () => ({ b: 1, a: 2 }) },
    };
    await append(path, event(odd));
    const [line] = linesOf(path);
    const { eventId, ...rest } = JSON.parse(line!);
    expect(JSON.stringify(rest)).toBe(JSON.stringify(JSON.parse(JSON.stringify(event(odd)))));
    expect(await verifyEventId({ eventId, ...rest })).toBe(true);
    expect((await append(path, event(odd))).duplicate).toBe(true);
  });

  it('has no id with computeId false, and takes no part in looking for duplicates', async () => {
    const path = freshPath();
    const receipts: Receipt[] = [];
    for (let n = 0; n < 2; n += 1) receipts.push(await append(path, event(), { computeId: false }));
    expect(linesOf(path)).toEqual([JSON.stringify(event()), JSON.stringify(event())]);
    for (const receipt of receipts) {
      expect(receipt).toMatchObject({ duplicate: false, durable: true });
      expect('eventId' in receipt).toBe(false);
    }
    await append(path, event({ eventId: 'given' }), { computeId: false });
    const again = await append(path, event({ eventId: 'given' }), { computeId: false });
    expect(again).toMatchObject({ eventId: 'given', duplicate: true });
  });
});

describe('the event', () => {
  it('is taken at the call: what the caller changes later is not seen', async () => {
    const path = freshPath();
    const value = event({ list: [1] });
    const appended = append(path, value);
    value.list.push(2);
    value.type = 'CHANGED';
    await appended;
    expect(await readChronicle(path)).toMatchObject([{ type: 'TEST_EVENT', list: [1] }]);
  });

  it('is not changed', async () => {
    const value = Object.freeze(event({ deep: Object.freeze({ n: 1 }) }));
    const before = JSON.stringify(value);
    await append(freshPath(), value, { idempotencyKey: 'key' });
    await append(freshPath(), value, { chain: true });
    appendEventSync(freshPath(), value);
    expect(JSON.stringify(value)).toBe(before);
  });
});

describe('a receipt', () => {
  it('names the record: seq from 1, offset from 0, length without the newline', async () => {
    const path = freshPath();
    let offset = 0;
    for (let n = 1; n <= 5; n += 1) {
      const receipt = await append(path, event({ text: 'ü'.repeat(n) }));
      const length = Buffer.byteLength(linesOf(path)[n - 1]!);
      const eventId = await computeEventId(event({ text: 'ü'.repeat(n) }));
      expect(receipt).toEqual({
        eventId,
        seq: n,
        offset,
        length,
        duplicate: false,
        identical: true,
        durable: true,
      });
      offset += length + 1;
    }
  });

  it('of a duplicate is that of the record in the file', async () => {
    const path = freshPath();
    const first = await append(path, event({ n: 1 }));
    await append(path, event({ n: 2 }));
    expect(await append(path, event({ n: 1 }))).toEqual({ ...first, duplicate: true });
    expect(linesOf(path)).toHaveLength(2);
  });

  it('names the first where another writer wrote an id twice', async () => {
    const path = freshPath();
    const line = JSON.stringify(event({ eventId: 'twice' }));
    writeFileSync(path, `{"n":1}\n${line}\n${line}\n`);
    const receipt = await append(path, event({ eventId: 'twice' }));
    expect(receipt).toMatchObject({ seq: 2, offset: 8, duplicate: true, identical: true });
    expect(linesOf(path)).toHaveLength(3);
  });

  it('counts records, not lines', async () => {
    const path = freshPath();
    writeFileSync(path, '\nbad\n{"n":1}\n\0\0\n');
    expect(await append(path, event())).toMatchObject({ seq: 2, offset: 16 });
  });

  it('says durable: false with durability os, and true for its duplicate by sync', async () => {
    const path = freshPath();
    const receipt = await append(path, event(), { durability: 'os' });
    expect(receipt).toMatchObject({ durable: false, duplicate: false });
    expect(linesOf(path)).toHaveLength(1);
    expect(await append(path, event())).toMatchObject({ durable: true, duplicate: true });
  });
});

describe('paths', () => {
  it('get their missing directories', async () => {
    const path = join(folder(), 'a', 'b', 'c', 'log.sage');
    await append(path, event());
    expect(linesOf(path)).toHaveLength(1);
  });

  it('that are relative are resolved at the call', () => {
    const dir = realpathSync(folder());
    const script = `
      const { append, readChronicle } = require(${JSON.stringify(root)});
      process.chdir(process.argv[1]);
      const event = ${JSON.stringify(event())};
      const appended = append('log.sage', event);
      const read = readChronicle('other.sage');
      process.chdir('/');
      appended.then(async () => {
        process.chdir(process.argv[1]);
        const again = readChronicle('log.sage');
        process.chdir('/');
        console.log((await again).length, (await read).length);
      });`;
    const out = execFileSync(process.execPath, ['-e', script, dir], { encoding: 'utf8' });
    expect(out.trim()).toBe('1 0');
    expect(linesOf(join(dir, 'log.sage'))).toHaveLength(1);
  });
});

describe('appendEvent', () => {
  it('resolves with nothing, its third argument a number or options', async () => {
    const path = freshPath();
    expect(await appendEvent(path, event({ n: 1 }))).toBeUndefined();
    expect(await appendEvent(path, event({ n: 2 }), 100)).toBeUndefined();
    expect(await appendEvent(path, event({ n: 3 }), { lockTimeoutMs: 100 })).toBeUndefined();
    expect(await appendEvent(path, event({ n: 3 }), 0)).toBeUndefined();
    expect(linesOf(path)).toHaveLength(3);
  });
});

describe('appendEventWithId', () => {
  it('appends under the given id', async () => {
    const path = freshPath();
    const receipt = await appendEventWithId(path, event({ eventId: 'mine' }), 100);
    expect(receipt).toMatchObject({ eventId: 'mine', seq: 1, duplicate: false });
    const again = await appendEventWithId(path, event({ eventId: 'mine' }), { computeId: false });
    expect(again.duplicate).toBe(true);
  });
});

describe('appendEvents', () => {
  it('appends in order, with a receipt for each', async () => {
    const path = freshPath();
    const events = Array.from({ length: 100 }, (_, n) => event({ n }));
    const receipts = await appendEvents(path, events);
    expect(receipts.map(({ seq }) => seq)).toEqual(events.map((_, n) => n + 1));
    const bytes = readFileSync(path);
    for (const [n, { offset, length, eventId }] of receipts.entries()) {
      const line = JSON.parse(bytes.subarray(offset, offset + length).toString());
      expect(line).toMatchObject({ n, eventId });
    }
  });

  it('writes nothing if one event is bad, and names it', async () => {
    const path = freshPath();
    await append(path, event({ n: 0 }));
    const events = [event({ n: 1 }), event({ n: 2 }), event({ timestamp: '' })];
    const error = expectCode(await rejection(appendEvents(path, events)), 'EVALIDATION');
    expect(error.index).toBe(2);
    const alone = appendEvents(path, [event({ timestamp: '' })]);
    expect(expectCode(await rejection(alone), 'EVALIDATION').index).toBe(0);
    expect(linesOf(path)).toHaveLength(1);
  });

  it('sees duplicates inside the batch and across batches, and completes a half one', async () => {
    const path = freshPath();
    const [a, b, c] = [event({ n: 'a' }), event({ n: 'b' }), event({ n: 'c' })];
    const first = await appendEvents(path, [a, a, b]);
    expect(first.map(({ duplicate }) => duplicate)).toEqual([false, true, false]);
    expect(first.map(({ seq }) => seq)).toEqual([1, 1, 2]);
    const second = await appendEvents(path, [a, b, c]);
    expect(second.map(({ duplicate }) => duplicate)).toEqual([true, true, false]);
    expect(linesOf(path)).toHaveLength(3);
  });

  it('of nothing touches nothing', async () => {
    const path = freshPath();
    expect(await appendEvents(path, [])).toEqual([]);
    expect(existsSync(path)).toBe(false);
    expectCode(await rejection(appendEvents('x.txt', [])), 'EVALIDATION');
  });

  it('rejects more than may be pending, and nothing is written', async () => {
    const path = freshPath();
    const text = 'x'.repeat(60 * 1024 * 1024);
    const events = Array.from({ length: 5 }, (_, n) => event({ n, text }));
    const error = expectCode(await rejection(appendEvents(path, events)), 'EIO');
    expect(error).toMatchObject({ written: 'no', cause: { code: 'ENOBUFS' } });
    expect(existsSync(path)).toBe(false);
  });
});

describe('appendEventSync', () => {
  it('returns a receipt, and the event is in the file', () => {
    const path = freshPath();
    expect(appendEventSync(path, event())).toMatchObject({ seq: 1, offset: 0, durable: true });
    expect(appendEventSync(path, event())).toMatchObject({ seq: 1, duplicate: true });
    expect(linesOf(path)).toHaveLength(1);
  });

  it('throws what append rejects with', () => {
    const path = freshPath();
    appendEventSync(path, event({ n: 1 }));
    const error = thrown(() => appendEventSync(path, event({ n: 2 }), { expectedTail: null }));
    expectCode(error, 'ECONFLICT');
    expect(linesOf(path)).toHaveLength(1);
  });

  it('comes after the appends that wait already, and among them', async () => {
    const path = freshPath();
    const waiting = Array.from({ length: 20 }, (_, n) => append(path, event({ n })));
    const receipt = appendEventSync(path, event({ sync: true }));
    const receipts = await Promise.all(waiting);
    const seqs = [...receipts, receipt].map(({ seq }) => seq).sort((a, b) => a - b);
    expect(seqs).toEqual(Array.from({ length: 21 }, (_, n) => n + 1));
    expect(linesOf(path)).toHaveLength(21);
  });
});

describe('flushSync', () => {
  it('waits for what is queued, so that it is in the file when it returns', async () => {
    const path = freshPath();
    const waiting = Array.from({ length: 50 }, (_, n) => append(path, event({ n })));
    expect(flushSync()).toBe(true);
    expect(linesOf(path)).toHaveLength(50);
    await Promise.all(waiting);
    expect(flushSync({ timeoutMs: 0 })).toBe(true);
  });

  it('saves appends from process.exit, also in an exit handler', () => {
    const path = freshPath();
    const script = `
      const { append, appendEventSync, flushSync } = require(${JSON.stringify(root)});
      const event = ${JSON.stringify(event())};
      for (let n = 0; n < 20; n += 1) append(process.argv[1], { ...event, n });
      process.on('exit', () => {
        const flushed = flushSync();
        appendEventSync(process.argv[1], { ...event, flushed });
      });
      process.exit(7);`;
    expect(spawnSync(process.execPath, ['-e', script, path], { stdio: 'inherit' }).status).toBe(7);
    expect(linesOf(path)).toHaveLength(21);
    expect(linesOf(path).at(-1)).toContain('"flushed":true');
  });
});

describe('concurrent appends of one process', () => {
  it('are all there once, in the order of their calls', async () => {
    const path = freshPath();
    const calls = Array.from({ length: 300 }, (_, n) => append(path, event({ n })));
    const receipts = await Promise.all(calls);
    expect(receipts.map(({ seq }) => seq)).toEqual(calls.map((_, n) => n + 1));
    const read = await readChronicle<{ n: number }>(path);
    expect(read.map(({ n }) => n)).toEqual(calls.map((_, n) => n));
  });

  it('of one event write one line', async () => {
    const path = freshPath();
    const receipts = await Promise.all(Array.from({ length: 50 }, () => append(path, event())));
    expect(receipts.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(new Set(receipts.map(({ offset }) => offset)).size).toBe(1);
    expect(linesOf(path)).toHaveLength(1);
  });

  it('do not harm each other when some fail', async () => {
    const path = freshPath();
    const settled = await Promise.allSettled(
      Array.from({ length: 60 }, (_, n) => {
        if (n % 3 === 1) return append(path, event({ n, timestamp: '' }));
        if (n % 3 === 2) return append(path, event({ n }), { expectedTail: 'nobody' });
        return append(path, event({ n }));
      }),
    );
    for (const [n, outcome] of settled.entries()) {
      if (n % 3 === 0) expect(outcome.status).toBe('fulfilled');
      else {
        const code = n % 3 === 1 ? 'EVALIDATION' : 'ECONFLICT';
        expectCode((outcome as PromiseRejectedResult).reason, code);
      }
    }
    expect(linesOf(path)).toHaveLength(20);
  });
});

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
    console.log('SKIPPED append: flock not found');
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
    for (const reason of [new Error('mine'), 'text', { any: 'object' }, null, undefined]) {
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

describe('a process', () => {
  it('ends by itself once its appends have settled, and not before', () => {
    const path = freshPath();
    const script = `
      const { append } = require(${JSON.stringify(root)});
      append(process.argv[1], ${JSON.stringify(event())}).then((receipt) => console.log(receipt.seq));`;
    const out = execFileSync(process.execPath, ['-e', script, path], { encoding: 'utf8' });
    expect(out.trim()).toBe('1');
    expect(linesOf(path)).toHaveLength(1);
  });
});
