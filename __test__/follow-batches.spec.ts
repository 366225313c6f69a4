import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { append, appendLines, followBatches, repairChronicle } from '../index.mjs';
import type { BatchIterator, FollowBatchesOptions, LineBatch, Place } from '../index.mjs';
import { within } from './child';
import { event, expectCode, freshPath, rejection } from './support.js';

const HANG = 30_000;

const line = (n: number) => `{"n":${n}}\n`;
const lines = (...numbers: number[]) => numbers.map(line).join('');

async function next(batches: BatchIterator): Promise<LineBatch> {
  const { value, done } = await within(batches.next(), HANG, 'no batch came');
  if (done) throw new Error('it ended');
  return value;
}

/** All that is there. */
async function all(path: string, options: FollowBatchesOptions = {}): Promise<LineBatch[]> {
  const met: LineBatch[] = [];
  const over = new AbortController();
  const onCaughtUp = () => over.abort();
  for await (const batch of followBatches(path, { ...options, onCaughtUp, signal: over.signal })) {
    met.push(batch);
  }
  return met;
}

const bytesOf = (batches: LineBatch[]) => Buffer.concat(batches.map((batch) => batch.bytes));
const numbersOf = ({ after, first, last, count }: LineBatch) => [after, first, last, count];

/** Descriptors of this process that are open on the file. */
function descriptorsOf(path: string): number {
  const isOn = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  };
  return readdirSync('/proc/self/fd').filter(isOn).length;
}

/** Records that a parser and a serialiser would change, and one of 8 MiB. */
const odd = Buffer.from(
  [
    '{"n":12345678901234567890123,"m":1e400,"k":-0,"z":1.50E+1}\n',
    '{"s":"\\ud800","t":"\\u0000\\u00e9\\/","u":"\u2028\u0085"}\n',
    '{"a":1,"a":2,"eventId":"one","eventId":"two"}\n',
    '{}\n',
    ' { "spaced" : [ ] } \n',
    '{"crlf":true}\r\n',
    `{"long":"${'x'.repeat(8 << 20)}"}\n`,
    '{"eventId":5,"idempotencyKey":null}\n',
  ].join(''),
);

describe('followBatches', () => {
  it('gives every record byte for byte, whatever a parser makes of it', async () => {
    const path = freshPath();
    writeFileSync(path, odd);
    for (const options of [{}, { maxEvents: 1 }, { maxBytes: 100 }, { synced: true }]) {
      const batches = await all(path, options);
      expect(bytesOf(batches).equals(odd)).toBe(true);
      expect(batches.reduce((sum, batch) => sum + batch.count, 0)).toBe(8);
      expect(batches.at(-1)?.last).toBe(8);
      expect(Buffer.isBuffer(batches[0]?.bytes)).toBe(true);
    }
  });

  it('gives what appendLines makes a copy of, byte for byte, batch by batch', async () => {
    const [path, copy] = [freshPath(), freshPath('copy.sage')];
    writeFileSync(path, Buffer.concat([odd, Buffer.from('{"last":true}')]));
    const records = readFileSync(path);
    const copyBatches = async (from: Place) => {
      let cursor = '';
      for (const batch of await all(path, { from, maxEvents: 3 })) {
        const receipts = await appendLines(copy, batch.bytes);
        expect(receipts.map(({ seq }) => seq).at(-1)).toBe(batch.last);
        cursor = batch.cursor;
      }
      return cursor;
    };
    const cursor = await copyBatches('start');
    // The copy has the newline that a writer will put behind the last line of the log.
    expect(readFileSync(copy).equals(Buffer.concat([records, Buffer.from('\n')]))).toBe(true);
    await append(path, event({ more: 1 }));
    await copyBatches({ cursor });
    expect(readFileSync(copy).equals(readFileSync(path))).toBe(true);
  }, 60_000);

  it('leaves blank and bad lines out, and reports the bad ones as every reader does', async () => {
    const path = freshPath();
    writeFileSync(path, `\n${line(1)} \t\r\nbad\n${line(2)}{"torn`);
    const bad: number[] = [];
    const batches = await all(path, { onBadLine: (met) => bad.push(met.line) });
    expect(bytesOf(batches).toString()).toBe(lines(1, 2));
    expect(bad).toEqual([4]);
    const thrown = followBatches(path, { onBadLine: 'throw' });
    expectCode(await rejection(thrown.next()), 'ECORRUPT');
  });

  it('gives what is there, then what comes, and its cursors go on in another iteration', async () => {
    const path = freshPath();
    const batches = followBatches(path, { maxEvents: 2 });
    const first = next(batches);
    await append(path, event({ n: 0 }), { computeId: false });
    expect((await first).count).toBe(1);
    appendFileSync(path, lines(1, 2, 3));
    expect(numbersOf(await next(batches))).toEqual([1, 2, 3, 2]);
    const { cursor } = batches;
    const last = await next(batches);
    expect(numbersOf(last)).toEqual([3, 4, 4, 1]);
    await batches.return();
    const [again] = await all(path, { from: { cursor: String(cursor) } });
    expect(again).toEqual(last);
    expect(again?.cursor).toBe(batches.cursor);
  });

  it('says with where what it left out', async () => {
    const path = freshPath();
    const typed = (type: string, n: number) => `{"type":"${type}","n":${n}}\n`;
    writeFileSync(path, typed('B', 1) + typed('A', 2) + typed('B', 3) + typed('A', 4));
    const batches = await all(path, { where: { type: 'A' }, maxEvents: 1 });
    expect(batches.map(numbersOf)).toEqual([
      [0, 2, 2, 1],
      [2, 4, 4, 1],
    ]);
    const [from] = await all(path, { where: { type: 'A' }, from: { seq: 3 } });
    expect(from && numbersOf(from)).toEqual([2, 4, 4, 1]);
  });

  it('gives a last record without newline once, as it stands', async () => {
    const path = freshPath();
    writeFileSync(path, `${line(1)}{"n":2}`);
    const batches = followBatches(path);
    const open = await next(batches);
    expect(open.bytes.toString()).toBe(`${line(1)}{"n":2}`);
    appendFileSync(path, `\n${line(3)}`);
    expect((await next(batches)).bytes.toString()).toBe(line(3));
    await batches.return();
    const rest = await all(path, { from: { cursor: open.cursor } });
    expect(bytesOf(rest).toString()).toBe(line(3));
  });

  it('refuses what is wrong, as a rejection of the first step', async () => {
    const path = freshPath();
    const wrong: unknown[] = [
      { maxBytes: 0 },
      { maxEvents: 1.5 },
      { synced: 1 },
      { positions: true },
      { from: 'middle' },
      { where: { types: 'A' } },
      { onFile: 1 },
    ];
    for (const options of wrong) {
      const batches = followBatches(path, options as FollowBatchesOptions);
      expectCode(await rejection(batches.next()), 'EVALIDATION');
    }
    expectCode(await rejection(followBatches(`${path}.log`).next()), 'EVALIDATION');
    writeFileSync(`${path}.log`, line(1));
    expect((await all(`${path}.log`, { anyExtension: true })).length).toBe(1);
  });

  it('ends on abort with its cursor, and closes the descriptor when it is left', async () => {
    const path = freshPath();
    writeFileSync(path, lines(1, 2));
    const over = new AbortController();
    const batches = followBatches(path, { signal: over.signal, maxEvents: 1, synced: true });
    expect(descriptorsOf(path)).toBe(0);
    const { cursor } = await next(batches);
    expect(descriptorsOf(path)).toBe(1);
    over.abort();
    expect(await batches.next()).toEqual({ done: true, value: undefined });
    expect(batches.cursor).toBe(cursor);
    expect(descriptorsOf(path)).toBe(0);
    for await (const _ of followBatches(path)) break;
    expect(descriptorsOf(path)).toBe(0);
  });

  it('closes the descriptors of iterations that were forgotten', () => {
    const script = `
      const { readdirSync, readlinkSync } = require('node:fs');
      const { setTimeout: wait } = require('node:timers/promises');
      const { followBatches } = require('./index.js');
      const path = process.argv[1];
      const open = () => readdirSync('/proc/self/fd').filter((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd) === path; } catch { return false; }
      }).length;
      const forget = async () => {
        for (let n = 0; n < 10; n += 1) await followBatches(path, { synced: n % 2 === 0 }).next();
        return open();
      };
      (async () => {
        const before = await forget();
        const deadline = Date.now() + 40_000;
        while (open() > 0 && Date.now() < deadline) {
          global.gc();
          await wait(10);
        }
        console.log(before > 0, open());
      })();`;
    const path = freshPath();
    writeFileSync(path, lines(1, 2));
    const root = new URL('..', import.meta.url);
    const options = { cwd: root, encoding: 'utf8', timeout: 50_000 } as const;
    const out = execFileSync(process.execPath, ['--expose-gc', '-e', script, path], options);
    expect(out.trim()).toBe('true 0');
  });

  it('is live once it has caught up, and ready once it has begun', async () => {
    const path = freshPath();
    writeFileSync(path, line(1));
    let caughtUp = 0;
    const batches = followBatches(path, { from: 'end', onCaughtUp: () => (caughtUp += 1) });
    expect(batches.live).toBe(false);
    await within(batches.ready, HANG, 'it did not begin');
    const coming = next(batches);
    appendFileSync(path, line(2));
    expect(numbersOf(await coming)).toEqual([1, 2, 2, 1]);
    const waits = batches.next();
    appendFileSync(path, line(3));
    await waits;
    expect(caughtUp).toBeGreaterThan(0);
    await batches.return();
    expect(batches.live).toBe(false);
  });
});

/** Makes a file whose birth time is later than that of another one. */
function makeAfter(other: string, path: string, text: string): void {
  const bornOf = (name: string) => statSync(name, { bigint: true }).birthtimeNs;
  do {
    rmSync(path, { force: true });
    writeFileSync(path, text);
  } while (bornOf(path) <= bornOf(other));
}

/** Ways in which the path gets another content, and the batches returned after records 1 to 3. */
const ways: [string, (path: string) => Promise<void> | void, string, number[]][] = [
  ['more is appended', (path) => appendFileSync(path, lines(4, 5)), 'same', [4, 5]],
  [
    'a copy with more takes its place',
    (path) => {
      copyFileSync(path, `${path}~`);
      appendFileSync(`${path}~`, lines(4, 5));
      renameSync(`${path}~`, path);
    },
    'same',
    [4, 5],
  ],
  [
    'it is renamed away and a new file begun',
    (path) => {
      renameSync(path, `${path}.1`);
      writeFileSync(path, lines(4, 5));
    },
    'next',
    [4, 5],
  ],
  [
    'it is renamed away twice',
    (path) => {
      renameSync(path, `${path}.1`);
      makeAfter(`${path}.1`, path, lines(4));
      renameSync(`${path}.1`, `${path}.2`);
      renameSync(path, `${path}.1`);
      makeAfter(`${path}.1`, path, lines(5));
    },
    'next',
    [4, 5],
  ],
  [
    'it is deleted and made again',
    (path) => {
      unlinkSync(path);
      writeFileSync(path, lines(4, 5));
    },
    'other',
    [4, 5],
  ],
  [
    'another order of it takes its place',
    (path) => {
      writeFileSync(`${path}~`, lines(3, 1, 2, 4));
      renameSync(`${path}~`, path);
    },
    'rewritten',
    [3, 1, 2, 4],
  ],
  [
    'a repair moves a bad line out',
    async (path) => {
      appendFileSync(path, `bad\n${line(4)}`);
      await repairChronicle(path);
    },
    'same',
    [4],
  ],
  [
    'its end is cut and written again',
    (path) => {
      writeFileSync(path, lines(1, 2, 3));
      appendFileSync(path, lines(4));
    },
    'same',
    [4],
  ],
];

describe.each(ways)('followBatches, when %s', (_, change, state, wanted) => {
  /** Batches until the last record that is wanted came. */
  async function rest(batches: BatchIterator): Promise<LineBatch[]> {
    const met: LineBatch[] = [];
    const last = line(wanted.at(-1) ?? 0);
    while (!bytesOf(met).toString().endsWith(last)) met.push(await next(batches));
    await batches.return();
    return met;
  }

  function check(met: LineBatch[], isLive: boolean) {
    expect(bytesOf(met).toString()).toBe(lines(...wanted));
    // What was deleted while nobody followed cannot be given to its end.
    const expected = state === 'other' ? (isLive ? 'next' : 'unknown') : state;
    expect(met[0]?.file).toBe(expected);
    const isFileStart = (batch: LineBatch) => batch.file !== 'same';
    for (const [at, batch] of met.entries()) {
      const before = isFileStart(batch) ? 0 : (met[at - 1]?.last ?? 3);
      expect([batch.after, batch.first]).toEqual([before, before + 1]);
    }
  }

  it('gives it while it waits', async () => {
    const path = freshPath();
    writeFileSync(path, lines(1, 2, 3));
    const batches = followBatches(path, { synced: true });
    await next(batches);
    const coming = rest(batches);
    await change(path);
    check(await coming, true);
  });

  it('gives it from a saved cursor', async () => {
    const path = freshPath();
    writeFileSync(path, lines(1, 2, 3));
    const [three] = await all(path);
    await change(path);
    check(await rest(followBatches(path, { from: { cursor: String(three?.cursor) } })), false);
  });
});
