import { readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { chronicle, failure, note, scratchFolder } from './scratch';

const scratch = scratchFolder();
const mebibyte = 1 << 20;

interface Marked {
  mark: string;
}

interface Bad {
  kind: string;
  line: number;
  offset: number;
  length: number;
}

/** Three records, their bytes, and where the last one begins. */
async function threeRecords(extra: Record<string, unknown> = {}) {
  const path = scratch.path('whole.sage');
  const events = [note('m:0'), note('m:1', { text: 'ein Haus am See' }), note('m:2', extra)];
  const receipts = await chronicle.appendEvents(path, events);
  return { whole: readFileSync(path), last: receipts[2]?.offset ?? 0, event: events[2] };
}

async function readAll(path: string): Promise<{ marks: string[]; bad: Bad[] }> {
  const bad: Bad[] = [];
  const onBadLine = (line: Bad) => void bad.push(line);
  const events = await chronicle.readChronicle<any>(path, { onBadLine });
  for (const event of events) {
    if (event.eventId !== undefined) expect(await chronicle.verifyEventId(event)).toBe(true);
  }
  return { marks: (events as Marked[]).map((event) => event.mark), bad };
}

describe('a file cut inside its last record', () => {
  it('keeps every earlier event and takes the next append, wherever it was cut', async () => {
    const { whole, last, event } = await threeRecords({ text: 'drei é \u{1f600} "\\' });
    for (let length = last; length < whole.length; length += 1) {
      const path = scratch.path(`cut${length}.sage`);
      const cut = whole.subarray(0, length);
      writeFileSync(path, cut);
      const complete = length === whole.length - 1;
      const kept = complete ? ['m:0', 'm:1', 'm:2'] : ['m:0', 'm:1'];
      expect((await readAll(path)).marks).toEqual(kept);

      const receipt = await chronicle.append(path, note('next'));
      expect(receipt.seq).toBe(kept.length + 1);
      const file = readFileSync(path);
      expect(file.subarray(0, length)).toEqual(cut);
      expect(receipt.offset).toBe(length === last ? length : length + 1);
      expect((await readAll(path)).marks).toEqual([...kept, 'next']);

      const again = await chronicle.append(path, event as ReturnType<typeof note>);
      expect(again.duplicate).toBe(complete);
      const expected = complete ? [...kept, 'next'] : [...kept, 'next', 'm:2'];
      expect((await readAll(path)).marks).toEqual(expected);
      expect((await chronicle.tailChronicle<any>(path, 2)).map((e: Marked) => e.mark)).toEqual(
        expected.slice(-2),
      );
    }
  }, 60_000);

  it.each([1, 511, 512, 4096])('has its %i NUL bytes at the end set aside', async (zeros) => {
    const { whole, last } = await threeRecords();
    for (const length of [whole.length, whole.length - 1, last + 20, last]) {
      const path = scratch.path(`nul${length}.sage`);
      const before = Buffer.concat([whole.subarray(0, length), Buffer.alloc(zeros)]);
      writeFileSync(path, before);
      const kept = length === whole.length ? ['m:0', 'm:1', 'm:2'] : ['m:0', 'm:1'];
      expect((await readAll(path)).marks).toEqual(kept);
      const receipt = await chronicle.append(path, note('next'));
      expect(receipt.offset).toBe(before.length + 1);
      expect(readFileSync(path).subarray(0, before.length + 1)).toEqual(
        Buffer.concat([before, Buffer.from('\n')]),
      );
      expect((await readAll(path)).marks).toEqual([...kept, 'next']);
    }
  });

  it('does not count a record whose middle is NUL, though its newline is there', async () => {
    const { whole, last, event } = await threeRecords({ text: 'x'.repeat(2000) });
    const path = scratch.path('hole.sage');
    const holed = Buffer.from(whole);
    holed.fill(0, last + 512, last + 1024);
    writeFileSync(path, holed);
    const receipt = await chronicle.append(path, event as ReturnType<typeof note>);
    expect(receipt).toMatchObject({ duplicate: false, offset: whole.length, seq: 3 });
    expect(await readAll(path)).toEqual({
      marks: ['m:0', 'm:1', 'm:2'],
      bad: [{ kind: 'nul', line: 3, offset: last, length: whole.length - last - 1 }],
    });
  });
});

describe('foreign bytes', () => {
  const good = (mark: string) => `{"type":"X","mark":"${mark}"}`;

  it.each<[string, string, string[], Array<[string, number]>]>([
    [
      'a bad line before a good one',
      `${good('a')}\n{oops\n${good('b')}\n`,
      ['a', 'b'],
      [['malformed', 2]],
    ],
    [
      'two events on one line',
      `${good('a')}${good('b')}\n${good('c')}\n`,
      ['c'],
      [['malformed', 1]],
    ],
    [
      'a record over two lines',
      `{"type":"X",\n"mark":"a"}\n${good('b')}\n`,
      ['b'],
      [
        ['malformed', 1],
        ['malformed', 2],
      ],
    ],
    ['lines ended by CR LF', `${good('a')}\r\n${good('b')}\r\n`, ['a', 'b'], []],
    ['blank lines', `\n${good('a')}\n\n \t\r\n${good('b')}\n\n`, ['a', 'b'], []],
    ['a byte order mark', `\ufeff${good('a')}\n${good('b')}\n`, ['b'], [['bom', 1]]],
    [
      'separators that are not 0x0A',
      `${good('a\u2028\u0085\u2029')}\n`,
      ['a\u2028\u0085\u2029'],
      [],
    ],
    [
      'a hole of NULs between two records',
      `${good('a')}\n${'\0'.repeat(600)}\n${good('b')}\n`,
      ['a', 'b'],
      [['nul', 2]],
    ],
    [
      'values that are no objects',
      `[1]\n"x"\n7\nnull\n${good('a')}\n`,
      ['a'],
      [1, 2, 3, 4].map((n) => ['malformed', n]),
    ],
    ['an object without any envelope', `{"mark":"a"}\n`, ['a'], []],
  ])('%s harms no neighbour and is reported where it is', async (_name, text, marks, bad) => {
    const path = scratch.path('foreign.sage');
    writeFileSync(path, text);
    const before = await readAll(path);
    expect(before.marks).toEqual(marks);
    expect(before.bad.map(({ kind, line }) => [kind, line])).toEqual(bad);
    const lines = text.split('\n').map((line) => Buffer.byteLength(line));
    for (const { line, offset, length } of before.bad) {
      const start = lines.slice(0, line - 1).reduce((sum, bytes) => sum + bytes + 1, 0);
      expect([offset, length]).toEqual([start, lines[line - 1]]);
    }
    const receipt = await chronicle.append(path, note('next'));
    expect(receipt).toMatchObject({ offset: Buffer.byteLength(text), seq: marks.length + 1 });
    expect(readFileSync(path, 'utf8').startsWith(text)).toBe(true);
    expect((await readAll(path)).marks).toEqual([...marks, 'next']);
  });

  it('bytes that are no UTF-8 make their own line bad and no other', async () => {
    const path = scratch.path('bytes.sage');
    const text = Buffer.from(`${good('a')}\n${good('#')}\n${good('b')}\n`);
    text[text.indexOf('#')] = 0xff;
    writeFileSync(path, text);
    const { marks, bad } = await readAll(path);
    expect(marks).toEqual(['a', 'b']);
    expect(bad).toMatchObject([{ kind: 'malformed', line: 2, offset: good('a').length + 1 }]);
  });

  it('a flipped byte in a record makes its id fail and nothing else', async () => {
    const path = scratch.path('flipped.sage');
    await chronicle.appendEvents(path, [note('m:0'), note('m:1'), note('m:2')]);
    const file = readFileSync(path);
    file[file.indexOf('m:1') + 2] = '7'.charCodeAt(0);
    writeFileSync(path, file);
    const events = await chronicle.readChronicle<any>(path);
    const verified = await Promise.all(events.map((event) => chronicle.verifyEventId(event)));
    expect(verified).toEqual([true, false, true]);
  });
});

describe('long lines', () => {
  it.each([64 << 10, mebibyte, 8 * mebibyte])(
    'a record of %i bytes is read back',
    async (bytes) => {
      const path = scratch.path('long.sage');
      await chronicle.append(path, note('a'));
      const receipt = await chronicle.append(path, note('long', { text: 'x'.repeat(bytes) }));
      await chronicle.append(path, note('b'));
      expect(receipt.length).toBeGreaterThan(bytes);
      expect((await readAll(path)).marks).toEqual(['a', 'long', 'b']);
      const tail = await chronicle.tailChronicle<any>(path, 2);
      expect(tail.map((event: Marked) => event.mark)).toEqual(['long', 'b']);
      expect(tail[0].text).toHaveLength(bytes);
    },
    30_000,
  );

  it('an event beyond 64 MiB is refused, one of 64 MiB is kept, a longer foreign line is skipped', async () => {
    const path = scratch.path('limit.sage');
    const limit = 64 * mebibyte;
    const bare = Buffer.byteLength(JSON.stringify(note('big', { text: '' })));
    const fits = note('big', { text: 'x'.repeat(limit - bare) });
    const error = await failure(
      chronicle.append(path, { ...fits, text: `${fits.text}x` }, { computeId: false }),
    );
    expect(error.code).toBe('EVALIDATION');
    expect(() => readFileSync(path)).toThrow(/ENOENT/);
    const receipt = await chronicle.append(path, fits, { computeId: false });
    expect(receipt).toMatchObject({ offset: 0, length: limit });
    writeFileSync(
      path,
      Buffer.concat([Buffer.from('{"mark":"'), Buffer.alloc(limit, 'y'), Buffer.from('"}\n')]),
      { flag: 'a' },
    );
    expect((await chronicle.append(path, note('after'))).seq).toBe(2);
    const { marks, bad } = await readAll(path);
    expect(marks).toEqual(['big', 'after']);
    expect(bad).toMatchObject([{ kind: 'malformed', line: 2, offset: limit + 1 }]);
  }, 60_000);
});

describe('a long end of the file', () => {
  it('that is a record without its newline counts, and takes the next append', async () => {
    const path = scratch.path('unended.sage');
    await chronicle.append(path, note('a'));
    const long = JSON.stringify({
      ...note('long'),
      idempotencyKey: 'long',
      text: 'x'.repeat(5 * mebibyte),
    });
    writeFileSync(path, long, { flag: 'a' });
    const { length } = readFileSync(path);
    expect((await readAll(path)).marks).toEqual(['a', 'long']);
    const receipt = await chronicle.append(path, note('next'));
    expect(receipt).toMatchObject({ seq: 3, offset: length + 1 });
    expect(await readAll(path)).toEqual({ marks: ['a', 'long', 'next'], bad: [] });
    const again = await chronicle.append(path, { ...note('long'), idempotencyKey: 'long' });
    expect(again).toMatchObject({ seq: 2, duplicate: true, identical: false });
  }, 30_000);

  it.each([
    ['without a newline', ' '.repeat(5 * mebibyte)],
    ['of blank lines', ' \t\r\n'.repeat((5 * mebibyte) / 4)],
  ])(
    'that is blank, %s, takes the next append',
    async (_name, blank) => {
      const path = scratch.path('blank.sage');
      await chronicle.append(path, note('a'));
      writeFileSync(path, blank, { flag: 'a' });
      const before = readFileSync(path);
      expect((await readAll(path)).marks).toEqual(['a']);
      const receipt = await chronicle.append(path, note('next'));
      expect(receipt.seq).toBe(2);
      const file = readFileSync(path);
      expect(file.subarray(0, before.length).equals(before)).toBe(true);
      expect(JSON.parse(file.toString('utf8', receipt.offset))).toMatchObject({ mark: 'next' });
      expect(await readAll(path)).toEqual({ marks: ['a', 'next'], bad: [] });
      expect(await chronicle.append(path, note('a'))).toMatchObject({ duplicate: true, seq: 1 });
    },
    30_000,
  );
});

describe('a file that changed under a writer that knew it', () => {
  it('became shorter: what is gone is no duplicate, what is left is', async () => {
    const path = scratch.path('log.sage');
    const receipts = await chronicle.appendEvents(path, [note('m:0'), note('m:1'), note('m:2')]);
    truncateSync(path, receipts[1]?.offset);
    expect(await chronicle.append(path, note('m:2'))).toMatchObject({ duplicate: false, seq: 2 });
    expect(await chronicle.append(path, note('m:1'))).toMatchObject({ duplicate: false, seq: 3 });
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({ duplicate: true, seq: 1 });
    expect((await readAll(path)).marks).toEqual(['m:0', 'm:2', 'm:1']);
  });

  it('is another file of the same name', async () => {
    const path = scratch.path('log.sage');
    await chronicle.appendEvents(path, [note('m:0'), note('m:1')]);
    const other = scratch.path('other.sage');
    await chronicle.append(other, note('m:5'));
    renameSync(other, path);
    expect(await chronicle.append(path, note('m:5'))).toMatchObject({ duplicate: true, seq: 1 });
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({ duplicate: false, seq: 2 });
    expect((await readAll(path)).marks).toEqual(['m:5', 'm:0']);
  });

  it('has other content of the same size', async () => {
    const path = scratch.path('log.sage');
    await chronicle.appendEvents(path, [note('m:0'), note('m:1')]);
    const size = readFileSync(path).length;
    const other = scratch.path('other.sage');
    await chronicle.appendEvents(other, [note('m:5'), note('m:6')]);
    writeFileSync(path, readFileSync(other));
    expect(readFileSync(path)).toHaveLength(size);
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({ duplicate: false, seq: 3 });
    expect(await chronicle.append(path, note('m:6'))).toMatchObject({ duplicate: true, seq: 2 });
    expect((await readAll(path)).marks).toEqual(['m:5', 'm:6', 'm:0']);
  });
});
