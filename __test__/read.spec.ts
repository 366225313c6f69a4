import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { append, appendEvents, readChronicle, tailChronicle } from '../index.mjs';
import type { BadLine, Positioned } from '../index.mjs';
import { event, expectCode, folder, freshPath, rejection, warningsOf } from './support.js';

/** A file with these bytes, at a new path. */
function fileOf(content: string | Buffer): string {
  const path = freshPath();
  writeFileSync(path, content);
  return path;
}

/** The calls of a read's function for bad lines. */
async function badLinesOf(path: string): Promise<BadLine[]> {
  const bad: BadLine[] = [];
  await readChronicle(path, { onBadLine: (line) => bad.push(line) });
  return bad;
}

describe('readChronicle', () => {
  it('gives an empty array for a missing file and makes nothing', async () => {
    const path = join(folder(), 'deep', 'log.sage');
    expect(await readChronicle(path)).toEqual([]);
    expect(await tailChronicle(path)).toEqual([]);
    expect(existsSync(join(path, '..'))).toBe(false);
  });

  it('gives an empty array for an empty file', async () => {
    expect(await readChronicle(fileOf(''))).toEqual([]);
    expect(await readChronicle(fileOf('\n\n \t\r\n'))).toEqual([]);
  });

  it('gives what was appended, in the order of the file', async () => {
    const path = freshPath();
    const events = Array.from({ length: 30 }, (_, n) => event({ n }));
    await appendEvents(path, events);
    const read = await readChronicle<ReturnType<typeof event> & { n: number }>(path);
    expect(read.map(({ n }) => n)).toEqual(events.map(({ n }) => n));
    expect(read[7]).toEqual({ ...events[7], eventId: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  it('gives records of other writers as they are, whatever their envelope', async () => {
    const valve = { persona: 'p', repo: 'r', file: 'f', reason: 'x', timestamp: 1700000000000 };
    const odd = { eventId: 5, type: null, actor: [] };
    const path = fileOf(`${JSON.stringify(valve)}\n  {}\t\r\n${JSON.stringify(odd)}\n`);
    expect(await readChronicle(path, { onBadLine: 'throw' })).toEqual([valve, {}, odd]);
  });

  it('splits at 0x0A only', async () => {
    const text = 'a\u2028b\u2029c\u0085d\u000be\u000cf';
    const path = fileOf(`{"text":"a\u2028b\u2029c\u0085d\\u000be\\ff"}\r\n{"n":2}\n`);
    expect(await readChronicle(path, { onBadLine: 'throw' })).toEqual([{ text }, { n: 2 }]);
  });

  it('takes a leading newline and an unterminated last record, as other writers leave them', async () => {
    const path = fileOf('\n{"n":1}\n\n{"n":2}\n{"n":3}');
    expect(await readChronicle(path, { onBadLine: 'throw' })).toEqual([
      { n: 1 },
      { n: 2 },
      { n: 3 },
    ]);
  });

  it('keeps lone surrogates, __proto__ keys and numbers that overflow as JSON.parse does', async () => {
    const lines = [
      '{"s":"\\ud800x"}',
      '{"__proto__":{"a":1}}',
      '{"n":1e400,"m":-0}',
      '{"a":1,"a":2}',
    ];
    const read = await readChronicle(fileOf(lines.map((line) => `${line}\n`).join('')));
    expect(read).toEqual(lines.map((line) => JSON.parse(line)));
    expect(Object.keys(read[1] as object)).toEqual(['__proto__']);
  });

  it('follows a symlink', async () => {
    const path = fileOf('{"n":1}\n');
    const link = join(path, '..', 'link.sage');
    symlinkSync(path, link);
    expect(await readChronicle(link)).toEqual([{ n: 1 }]);
  });

  it('refuses what is no regular file, at once', async () => {
    const path = freshPath('directory.sage');
    mkdirSync(path);
    const fifo = freshPath('fifo.sage');
    const made = spawnSync('mkfifo', [fifo]).status === 0;
    for (const strange of made ? [path, fifo] : [path]) {
      expectCode(await rejection(readChronicle(strange)), 'EVALIDATION');
      expectCode(await rejection(tailChronicle(strange)), 'EVALIDATION');
      expectCode(await rejection(append(strange, event())), 'EVALIDATION');
    }
  });

  it('reports the system error if the file cannot be opened', async () => {
    const path = join(fileOf('{}\n'), 'below-a-file.sage');
    const error = expectCode(await rejection(readChronicle(path)), 'EIO');
    expect(error.cause).toBeInstanceOf(Error);
    expect(error.cause?.code).toBe('ENOTDIR');
    expect(error.path).toBe(path);
  });

  it('changes nothing: no byte, no side file', async () => {
    const content = '{"n":1}\nbad\n{"n":2';
    const path = fileOf(content);
    const before = statSync(path);
    await readChronicle(path, { onBadLine: () => {} });
    await tailChronicle(path, 2, { onBadLine: () => {} });
    expect(readFileSync(path, 'utf8')).toBe(content);
    expect(statSync(path).mtimeMs).toBe(before.mtimeMs);
    expect(readdirSync(join(path, '..'))).toHaveLength(1);
  });

  it('parses a large file in slices, between which the event loop turns', async () => {
    const text = 'x'.repeat(1000);
    const lines = Array.from({ length: 12_000 }, (_, n) => `${JSON.stringify({ n, text })}\n`);
    const path = fileOf(lines.join(''));
    let turns = 0;
    let reading = true;
    const turn = () => {
      turns += 1;
      if (reading) setImmediate(turn);
    };
    setImmediate(turn);
    const read = await readChronicle<{ n: number }>(path);
    reading = false;
    expect(read.map(({ n }) => n)).toEqual(lines.map((_, n) => n));
    // 12 MB in slices of at most about 1 MiB.
    expect(turns).toBeGreaterThanOrEqual(10);
  });

  it('is not disturbed by appends that happen meanwhile: it gives a prefix', async () => {
    const path = freshPath();
    await appendEvents(
      path,
      Array.from({ length: 2000 }, (_, n) => event({ n, text: 'x'.repeat(2000) })),
    );
    const [read] = await Promise.all([
      readChronicle<{ n: number }>(path),
      ...Array.from({ length: 50 }, (_, n) => append(path, event({ n: 2000 + n }))),
    ]);
    expect(read.length).toBeGreaterThanOrEqual(2000);
    expect(read.slice(0, 2000).map(({ n }) => n)).toEqual(
      Array.from({ length: 2000 }, (_, n) => n),
    );
    expect(await readChronicle(path)).toHaveLength(2050);
  });
});

describe('positions', () => {
  it('give seq, offset and length of every record, in readers and receipts alike', async () => {
    const path = freshPath();
    const receipts = [];
    for (let n = 0; n < 5; n += 1)
      receipts.push(await append(path, event({ text: 'ü'.repeat(n) })));
    appendFileSync(path, 'bad line\n\n{"foreign":1}\n');
    receipts.push(await append(path, event({ last: true })));

    const read = await readChronicle(path, { positions: true, onBadLine: () => {} });
    const bytes = readFileSync(path);
    for (const { event: value, offset, length } of read) {
      const line = bytes.subarray(offset, offset + length).toString('utf8');
      expect(JSON.parse(line)).toEqual(value);
      expect(bytes[offset + length]).toBe(0x0a);
    }
    expect(read.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const own = read.filter(({ seq }) => seq !== 6);
    expect(own.map(({ seq, offset, length }) => ({ seq, offset, length }))).toEqual(
      receipts.map(({ seq, offset, length }) => ({ seq, offset, length })),
    );

    for (const n of [1, 2, 3, 7, 9]) {
      const tail = await tailChronicle(path, n, { positions: true, onBadLine: () => {} });
      expect(tail, `the last ${n}`).toEqual(read.slice(-n));
    }
  });

  it('go on over slices', async () => {
    const text = 'x'.repeat(3000);
    const lines = Array.from({ length: 2000 }, (_, n) => `${JSON.stringify({ n, text })}\n`);
    const read: Positioned<any>[] = await readChronicle(fileOf(lines.join('')), {
      positions: true,
    });
    let offset = 0;
    for (const [n, line] of lines.entries()) {
      expect(read[n]).toMatchObject({ event: { n }, seq: n + 1, offset, length: line.length - 1 });
      offset += line.length;
    }
  });
});

describe('bad lines', () => {
  const content = [
    '{"n":1}\n',
    'not json\n',
    '{"n":2}\n',
    '[{"n":2}]\n',
    '5\n',
    'null\n',
    '"text"\n',
    '\0\0\0\0\n',
    '{"n":3}{"n":4}\n',
    '{"n":5}\n',
    '{"n":6',
  ];
  const at = (index: number) => content.slice(0, index).join('').length;

  it('are skipped, and their neighbours are not harmed', async () => {
    const path = fileOf(content.join(''));
    expect(await readChronicle(path)).toEqual([{ n: 1 }, { n: 2 }, { n: 5 }]);
    expect(await tailChronicle(path, 2)).toEqual([{ n: 2 }, { n: 5 }]);
  });

  it('give one process warning per file and number of them', async () => {
    const path = fileOf('{"n":1}\nbad\n');
    const read = () => readChronicle(path);
    const [warning, ...more] = await warningsOf('CHRONICLE_BAD_LINES', read);
    expect(more).toEqual([]);
    expect(warning?.name).toBe('ChronicleWarning');
    expect(warning?.message).toContain(path);
    expect(await warningsOf('CHRONICLE_BAD_LINES', read)).toEqual([]);
    expect(await warningsOf('CHRONICLE_BAD_LINES', () => tailChronicle(path))).toEqual([]);
    appendFileSync(path, 'bad\n');
    expect(await warningsOf('CHRONICLE_BAD_LINES', read)).toHaveLength(1);
    const silent = () => readChronicle(path, { onBadLine: () => {} });
    appendFileSync(path, 'bad\n');
    expect(await warningsOf('CHRONICLE_BAD_LINES', silent)).toEqual([]);
  });

  it('are remembered of a thousand files only, so that memory stays bounded', async () => {
    const first = fileOf('bad\n');
    const read = () => readChronicle(first);
    expect(await warningsOf('CHRONICLE_BAD_LINES', read)).toHaveLength(1);
    const others = folder();
    const many = await warningsOf('CHRONICLE_BAD_LINES', async () => {
      for (let n = 0; n < 1000; n += 1) {
        const path = join(others, `${n}.sage`);
        writeFileSync(path, 'bad\n');
        await readChronicle(path);
      }
    });
    expect(many).toHaveLength(1000);
    expect(await warningsOf('CHRONICLE_BAD_LINES', read)).toHaveLength(1);
  });

  it('are passed to a function one by one, in the order of the file', async () => {
    const path = fileOf(content.join(''));
    const malformed = (index: number) => ({
      kind: 'malformed',
      line: index + 1,
      offset: at(index),
      length: content[index]!.length - 1,
    });
    const all = [1, 3, 4, 5, 6].map(malformed);
    all.push({ ...malformed(7), kind: 'nul' }, malformed(8));
    expect(await badLinesOf(path)).toEqual(all);

    // A tail reports the bad lines on its way back to its first record.
    const met: BadLine[] = [];
    await tailChronicle(path, 2, { onBadLine: (line) => met.push(line) });
    expect(met).toEqual(all.slice(1));
  });

  it('reject with ECORRUPT, line and offset where that is asked for', async () => {
    const path = fileOf(content.join(''));
    const error = expectCode(
      await rejection(readChronicle(path, { onBadLine: 'throw' })),
      'ECORRUPT',
    );
    expect(error).toMatchObject({ path, line: 2, offset: at(1) });
    expect(error.message).toContain('line 2 at byte 8');
    const tail = tailChronicle(path, 2, { onBadLine: 'throw' });
    expectCode(await rejection(tail), 'ECORRUPT');
    expect(await tailChronicle(path, 1, { onBadLine: 'throw' })).toEqual([{ n: 5 }]);
  });

  it('reject with what the function throws, as it is', async () => {
    const reason = { mine: true };
    const onBadLine = () => {
      throw reason;
    };
    expect(await rejection(readChronicle(fileOf('bad\n'), { onBadLine }))).toBe(reason);
    expect(await rejection(tailChronicle(fileOf('bad\n{}\nbad\n'), 1, { onBadLine }))).toBe(reason);
  });

  it('do not include a torn tail, which is no error and no warning', async () => {
    for (const tail of ['{"n":2', '{"n":2}}', 'x', '\0\0\0\0', '{"n":2\0\0']) {
      const path = fileOf(`{"n":1}\n${tail}`);
      const read = () => readChronicle(path);
      expect(await warningsOf('CHRONICLE_BAD_LINES', read), tail).toEqual([]);
      expect(await readChronicle(path, { onBadLine: 'throw' }), tail).toEqual([{ n: 1 }]);
      expect(await tailChronicle(path, 5, { onBadLine: 'throw' }), tail).toEqual([{ n: 1 }]);
      expect(await badLinesOf(path), tail).toEqual([]);
    }
  });

  it('include a line that is no UTF-8, and one with a byte order mark', async () => {
    const path = fileOf(
      Buffer.concat([
        Buffer.from('\ufeff{}\n{"a":"'),
        Buffer.from([0xff, 0x22, 0x7d, 0x0a]),
        Buffer.from('{}\n'),
      ]),
    );
    expect(await badLinesOf(path)).toMatchObject([
      { kind: 'bom', line: 1, offset: 0, length: 5 },
      { kind: 'malformed', line: 2, offset: 6, length: 9 },
    ]);
    expect(await readChronicle(path, { onBadLine: () => {} })).toEqual([{}]);
  });

  it('include a foreign line beyond 64 MiB', async () => {
    const long = Buffer.alloc(64 * 1024 * 1024 + 1, 0x20);
    long.write('{"n":2}');
    const path = fileOf(
      Buffer.concat([Buffer.from('{"n":1}\n'), long, Buffer.from('\n{"n":3}\n')]),
    );
    expect(await badLinesOf(path)).toEqual([
      { kind: 'malformed', line: 2, offset: 8, length: long.length },
    ]);
    expect(await readChronicle(path, { onBadLine: () => {} })).toEqual([{ n: 1 }, { n: 3 }]);
    expect(await tailChronicle(path, 2, { onBadLine: () => {} })).toEqual([{ n: 1 }, { n: 3 }]);
  });
});

describe('tailChronicle', () => {
  it('gives the last n in the order of the file, ten if nothing is said', async () => {
    const lines = Array.from({ length: 25 }, (_, n) => ({ n }));
    const path = fileOf(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    expect(await tailChronicle(path)).toEqual(lines.slice(-10));
    expect(await tailChronicle(path, undefined, { onBadLine: 'throw' })).toEqual(lines.slice(-10));
    for (const n of [1, 2, 24, 25, 26, 1e9])
      expect(await tailChronicle(path, n)).toEqual(lines.slice(-n));
    expect(await tailChronicle(path, 0)).toEqual([]);
  });

  it('is what the end of a whole read is, at every count, over blocks of every size', async () => {
    const lines = Array.from({ length: 300 }, (_, n) =>
      n % 7 === 3 ? 'bad\n' : `${JSON.stringify({ n, text: 'x'.repeat((n * 37) % 2000) })}\n`,
    );
    const path = fileOf(`${lines.join('')}{"n":"unterminated"}`);
    const all = await readChronicle(path, { onBadLine: () => {} });
    for (let n = 1; n < all.length + 2; n += 1) {
      expect(await tailChronicle(path, n, { onBadLine: () => {} })).toEqual(all.slice(-n));
    }
  });
});

describe('signals', () => {
  it('that are aborted already reject with their reason as it is', async () => {
    const path = fileOf('{"n":1}\n');
    for (const reason of [new Error('mine'), 'text', { any: 'object' }, null]) {
      const signal = { aborted: true, reason, addEventListener() {}, removeEventListener() {} };
      expect(await rejection(readChronicle(path, { signal }))).toBe(reason);
      expect(await rejection(tailChronicle(path, 1, { signal }))).toBe(reason);
    }
    const signal = AbortSignal.abort();
    expect(await rejection(readChronicle(path, { signal }))).toBe(signal.reason);
  });

  it('end a read in the middle, and no listener stays', async () => {
    const text = 'x'.repeat(1000);
    const lines = Array.from({ length: 8000 }, (_, n) => `${JSON.stringify({ n, text })}\n`);
    const path = fileOf(['bad\n', ...lines].join(''));
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    const counted = {
      get aborted() {
        return signal.aborted;
      },
      get reason() {
        return signal.reason;
      },
      addEventListener(type: 'abort', listener: () => void) {
        listeners += 1;
        signal.addEventListener(type, listener);
      },
      removeEventListener(type: 'abort', listener: () => void) {
        listeners -= 1;
        signal.removeEventListener(type, listener);
      },
    };
    const reason = new Error('enough');
    const read = readChronicle(path, {
      signal: counted,
      onBadLine: () => controller.abort(reason),
    });
    expect(await rejection(read)).toBe(reason);
    expect(listeners).toBe(0);
    expect(await readChronicle(path, { onBadLine: () => {} })).toHaveLength(8000);
  });
});
