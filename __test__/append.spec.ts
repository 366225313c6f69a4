import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
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
import type { Receipt } from '../index.mjs';
import { event, expectCode, folder, freshPath, linesOf, rejection, thrown } from './support.js';

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

  it('that begin alike name files of their own, whichever was appended to before', async () => {
    const path = freshPath();
    const behind = ['', 'x', 'é', '\u20ac', '\u{1f600}', 'xyzab', 'y'.repeat(30)];
    const paths = behind.map((more) => path + more);
    for (const before of paths) {
      for (const other of paths) {
        const options = { anyExtension: true };
        const value = event({ before, other });
        await append(before, value, options);
        await append(other, value, options);
        expect((await append(before, value, options)).duplicate).toBe(true);
      }
    }
    for (const each of paths) {
      const mine = linesOf(each).map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(mine.every(({ before, other }) => before === each || other === each)).toBe(true);
      expect(mine).toHaveLength(2 * paths.length - 1);
    }
  });

  it('that are relative name another file when the current directory is another one', () => {
    const dirs = [realpathSync(folder()), realpathSync(folder())];
    const script = `
      const { append } = require(${JSON.stringify(root)});
      const turns = process.argv.slice(1).concat(process.argv.slice(1));
      const appended = turns.map((dir, n) => {
        process.chdir(dir);
        return append('log.sage', { ...${JSON.stringify(event())}, n });
      });
      Promise.all(appended).then((all) => console.log(all.map(({ seq }) => seq).join(' ')));`;
    const out = execFileSync(process.execPath, ['-e', script, ...dirs], { encoding: 'utf8' });
    expect(out.trim()).toBe('1 1 2 2');
    for (const dir of dirs) expect(linesOf(join(dir, 'log.sage'))).toHaveLength(2);
  });
});

describe('options', () => {
  it('count for their own append, whichever the one before had', async () => {
    const path = freshPath();
    const kinds = [undefined, { computeId: false }, { idempotencyKey: 'k' }, { computeId: true }];
    const values = [0, 1, 2].flatMap((n) => kinds.map((options, m) => ({ n, m, options })));
    const appended = values.map(({ n, m, options }) => {
      const key = options?.idempotencyKey;
      const own = key === undefined ? options : { idempotencyKey: `${key}${n}` };
      return append(path, event({ n, m }), own);
    });
    const receipts = await Promise.all(appended);
    expect(receipts.map(({ eventId }) => eventId !== undefined)).toEqual(
      values.map(({ m }) => m !== 1),
    );
    const keys = linesOf(path).map((line) => JSON.parse(line).idempotencyKey);
    expect(keys).toEqual(values.map(({ n, m }) => (m === 2 ? `k${n}` : undefined)));
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
