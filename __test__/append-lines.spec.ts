// Whole lines of another log: stored byte for byte, each once by the names in it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import {
  append,
  appendLines,
  chronicleStats,
  followBatches,
  readChronicle,
  verifyChronicle,
} from '../index.mjs';
import type { AppendLinesOptions } from '../index.mjs';
import { binding, event, expectCode, freshPath, rejection, warningsOf } from './support.js';

/** Records that a program with doubles, JavaScript strings or an envelope would change. */
const odd = [
  '{"eventId":"huge","v":738529527931269425,"w":1e400,"x":0.1000000000000000055,"y":-0,"z":1.50E+2}',
  '{"eventId":"key order","2":1,"1":2,"__proto__":3,"a" : [ ] }',
  '{"eventId":"twice","v":1,"v":2,"eventId":"twice"}',
  '{"eventId":"escapes","t":"\\u0041\\/\\ud800 \\u0000\u2028\u0085"}',
  '{"eventId":"\\ud83d\\ude00","idempotencyKey":"k"}',
  ' \t{"eventId":"spaces"} \r',
  '{"eventId":5,"idempotencyKey":""}',
  '{}',
  `{"eventId":"long","t":"${'x'.repeat(8 << 20)}"}`,
];

describe('appendLines', () => {
  it('stores odd records byte for byte, from bytes and from a string', async () => {
    const text = `${odd.join('\n')}\n`;
    for (const lines of [text, Buffer.from(text), new Uint8Array(Buffer.from(text))]) {
      const path = freshPath();
      const receipts = await appendLines(path, lines, { durability: 'os' });
      expect(readFileSync(path, 'utf8') === text).toBe(true);
      expect(receipts.map(({ seq }) => seq)).toEqual(odd.map((_, index) => index + 1));
      let offset = 0;
      for (const [index, receipt] of receipts.entries()) {
        const length = Buffer.byteLength(odd[index]!);
        expect(receipt).toMatchObject({ offset, length, duplicate: false, identical: true });
        offset += length + 1;
      }
      expect(receipts[4]!.eventId).toBe('\u{1f600}');
      expect(receipts[6]).not.toHaveProperty('eventId');
      expect((await verifyChronicle(path)).ok).toBe(true);
    }
  });

  it('copies a log with what followBatches gives, byte for byte', async () => {
    const [path, copy] = [freshPath(), freshPath()];
    const text = `${odd.join('\n')}\n`;
    writeFileSync(path, text);
    let count = 0;
    for await (const batch of followBatches(path, { from: 'start', maxEvents: 4 })) {
      await appendLines(copy, batch.bytes, { durability: 'os' });
      count += batch.count;
      if (count === odd.length) break;
    }
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
  });

  it('writes a name once, and a line without one each time', async () => {
    const path = freshPath();
    const there = await append(path, event({ n: 1 }), { idempotencyKey: 'key' });
    const stored = readFileSync(path, 'utf8');
    const lines = `${stored}{"n":1}\n{"eventId":"key"}\n{"eventId":"new"}\n{"eventId":"new"}\n`;
    for (const [duplicate, seqs] of [
      [false, [1, 2, 1, 3, 3]],
      [true, [1, 4, 1, 3, 3]],
    ] as const) {
      const receipts = await appendLines(path, lines);
      expect(receipts.map(({ seq }) => seq)).toEqual(seqs);
      expect(receipts.map((receipt) => receipt.duplicate)).toEqual([
        true,
        false,
        true,
        duplicate,
        true,
      ]);
      expect(receipts[0]).toMatchObject({ eventId: there.eventId, identical: true });
      expect(receipts[2]).toMatchObject({ eventId: there.eventId, identical: false });
      expect(receipts.every(({ durable }) => durable)).toBe(true);
    }
    expect(readFileSync(path, 'utf8')).toBe(`${stored}{"n":1}\n{"eventId":"new"}\n{"n":1}\n`);
  });

  it('leaves blank lines out, and keeps a carriage return and a last line without newline', async () => {
    const path = freshPath();
    const receipts = await appendLines(path, '\n \t\r\n{"a":1}\r\n\n{"b":2}');
    expect(receipts).toHaveLength(2);
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\r\n{"b":2}\n');
    for (const nothing of ['', '\n \r\n', new Uint8Array()]) {
      expect(await appendLines(path, nothing)).toEqual([]);
    }
    expect((await readChronicle(path)).length).toBe(2);
  });

  it.each([
    ['is cut', '{"a":1', 'line is not valid JSON at byte 6'],
    ['is an array', '[{}]', 'line is not a JSON object'],
    ['is two', '{}{}', 'line is not valid JSON at byte 2'],
    ['has NUL bytes', '{}\0', 'line is not valid JSON at byte 2'],
    ['begins with a byte order mark', '\ufeff{}', 'line begins with a byte order mark (U+FEFF)'],
    ['is no UTF-8', Buffer.from('7b2261223a22ff227d', 'hex'), 'line is not UTF-8 at byte 6'],
    ['has a lone surrogate', '{"a":"\ud800"}', 'line has a lone surrogate'],
    ['nests too deep', `{"a":${'['.repeat(1000)}${']'.repeat(1000)}}`, 'line nests deeper'],
  ])('rejects all where a line %s, with its place', async (_, bad, message) => {
    const path = freshPath();
    const lines =
      typeof bad === 'string'
        ? `\n{"a":1}\n \n{"b":2}\n${bad}\n{"c":3}`
        : Buffer.concat([Buffer.from('\n{"a":1}\n \n{"b":2}\n'), bad, Buffer.from('\n{"c":3}')]);
    const error = expectCode(await rejection(appendLines(path, lines)), 'EVALIDATION');
    expect(error).toMatchObject({ index: 2, path, written: 'no' });
    expect(error.message).toContain(message);
    expect(existsSync(path) && readFileSync(path, 'utf8') !== '').toBe(false);
  });

  it('refuses a line longer than 64 MiB, and takes the longest', async () => {
    const path = freshPath();
    const line = Buffer.alloc((64 << 20) + 1, 0x20);
    line.write('{"eventId":"a"}');
    const error = expectCode(await rejection(appendLines(path, line)), 'EVALIDATION');
    expect(error).toMatchObject({ index: 0, message: expect.stringContaining('67108865 bytes') });
    const [receipt] = await appendLines(path, line.subarray(0, 64 << 20), { durability: 'os' });
    expect(receipt).toMatchObject({ eventId: 'a', length: 64 << 20 });
  });

  it('refuses options that would change a record, and what is neither text nor bytes', async () => {
    const path = freshPath();
    for (const option of [{ computeId: false }, { idempotencyKey: 'k' }, { chain: true }]) {
      const error = await rejection(appendLines(path, '{}', option as AppendLinesOptions));
      expect(expectCode(error, 'EVALIDATION').written).toBe('no');
    }
    const [buffer] = [new ArrayBuffer(2)];
    for (const lines of [
      undefined,
      null,
      5,
      ['{}'],
      buffer,
      new Uint16Array(2),
      new DataView(buffer),
    ]) {
      const error = await rejection(appendLines(path, lines as never));
      expect(expectCode(error, 'EVALIDATION').message).toBe(
        'lines must be a string or a Uint8Array',
      );
    }
    expectCode(await rejection(appendLines('log.txt', '{}')), 'EVALIDATION');
    expectCode(await rejection(appendLines('log.txt', '')), 'EVALIDATION');
    expect(existsSync(path)).toBe(false);
  });

  it('refuses more than may be pending before it is copied', async () => {
    const bytes = new Uint8Array((256 << 20) + 1);
    const error = expectCode(await rejection(appendLines(freshPath(), bytes)), 'EIO');
    expect(error).toMatchObject({ written: 'no', cause: { code: 'ENOBUFS' } });
  });

  it('holds to expectedTail, onIdReuse, anyExtension, durability and signal', async () => {
    const path = freshPath('log.txt');
    const any = { anyExtension: true };
    const [first] = await appendLines(path, '{"eventId":"a"}', { ...any, durability: 'os' });
    expect(first!.durable).toBe(false);
    const tail = { ...any, expectedTail: 'b' };
    expectCode(await rejection(appendLines(path, '{"eventId":"c"}', tail)), 'ECONFLICT');
    await appendLines(path, '{"eventId":"b"}', { ...any, expectedTail: 'a' });
    const other = '{"eventId":"c"}\n{"eventId":"a","n":1}';
    const reject = { ...any, onIdReuse: 'reject' as const };
    const error = expectCode(await rejection(appendLines(path, other, reject)), 'ECONFLICT');
    expect(error).toMatchObject({ index: 1, written: 'no' });
    const warnings = await warningsOf('CHRONICLE_ID_REUSED', () => appendLines(path, other, any));
    expect(warnings).toHaveLength(1);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    expect(await rejection(appendLines(path, '{"n":2}', { ...any, signal }))).toBe(reason);
    expect(readFileSync(path, 'utf8')).toBe('{"eventId":"a"}\n{"eventId":"b"}\n{"eventId":"c"}\n');
  });

  it('copies the bytes during the call, shared ones too', async () => {
    const path = freshPath();
    for (const lines of [Buffer.from('{"n":1}\n'), new Uint8Array(new SharedArrayBuffer(8))]) {
      lines.set(Buffer.from('{"n":1}\n'));
      const appended = appendLines(path, lines);
      lines.fill(0);
      await appended;
    }
    expect(readFileSync(path, 'utf8')).toBe('{"n":1}\n{"n":1}\n');
  });

  it('works in memory, and is counted', async () => {
    const { MEMORY } = createRequire(import.meta.url)('../lib/binding/options.js');
    const memory = { [MEMORY]: new binding.Memory() } as AppendLinesOptions;
    const before = chronicleStats().appends;
    await appendLines('nowhere/log.sage', odd.slice(0, 3).join('\n'), memory);
    const [again] = await appendLines('nowhere/log.sage', odd[0]!, memory);
    expect(again).toMatchObject({ seq: 1, duplicate: true, identical: true });
    expect(await readChronicle('nowhere/log.sage', memory as object)).toHaveLength(3);
    expect(existsSync('nowhere')).toBe(false);
    const path = freshPath();
    await appendLines(path, '{"n":1}');
    expect(chronicleStats().appends).toBe(before + 1);
  });

  it('ends a torn tail, and makes the folders of a log', async () => {
    const path = freshPath('a/b/log.sage');
    await appendLines(path, '{"n":1}');
    writeFileSync(path, '{"n":1}\n{"torn');
    const [receipt] = await appendLines(path, '{"eventId":"x"}');
    expect(receipt).toMatchObject({ seq: 2, offset: 15 });
    expect(readFileSync(path, 'utf8')).toBe('{"n":1}\n{"torn\n{"eventId":"x"}\n');
  });
});
