// The names of the predecessor that live on for its callers.
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  append,
  atomicAppendEvent,
  batchCheckDuplicates,
  ensureChronicleDirectory,
  fileExists,
  isDuplicateEvent,
  isDuplicateUsingIndex,
  maintainEventIndex,
  readChronicleFile,
  tailChronicleFile,
} from '../index.mjs';
import { event, expectCode, folder, freshPath, linesOf, rejection } from './support.js';
import { Child } from './child.js';
import { present, scratchFolder } from './scratch.js';

const scratch = scratchFolder();
const flock = present('compat', 'flock');

describe('atomicAppendEvent', () => {
  it('writes the event as it is, without an id, whatever else it has', async () => {
    const path = freshPath();
    expect(await atomicAppendEvent(path, { type: 'X', n: 1 } as { type: string })).toBeUndefined();
    await atomicAppendEvent(path, { type: 'X', n: 1 } as { type: string });
    expect(linesOf(path)).toEqual(['{"type":"X","n":1}', '{"type":"X","n":1}']);
  });

  it('keeps a given id and does not write it twice', async () => {
    const path = freshPath();
    await atomicAppendEvent(path, event({ eventId: 'mine' }));
    await atomicAppendEvent(path, event({ eventId: 'mine' }));
    expect(linesOf(path)).toHaveLength(1);
  });

  it('takes any path', async () => {
    const base = folder();
    mkdirSync(join(base, 'a'));
    await atomicAppendEvent(`${base}/a/../log.txt`, event());
    expect(linesOf(join(base, 'log.txt'))).toHaveLength(1);
    for (const path of ['', 5, `${base}/a/`, base]) {
      expectCode(await rejection(atomicAppendEvent(path as string, event())), 'EVALIDATION');
    }
  });

  it.skipIf(!flock)('waits for the lock for the given time', async () => {
    const path = scratch.path('log.sage');
    await append(path, event());
    const holder = new Child('flock', ['--no-fork', path, 'sh', '-c', 'echo locked; read line']);
    await holder.line((line) => line === 'locked');
    const error = await rejection(atomicAppendEvent(path, event({ n: 2 }), 60));
    expectCode(error, 'ELOCK_TIMEOUT');
    expect(error.waitedMs).toBeGreaterThanOrEqual(60);
    const patient = atomicAppendEvent(path, event({ n: 3 }), 50_000);
    holder.closeInput();
    await patient;
    expect(linesOf(path)).toHaveLength(2);
  });

  it('refuses a timeout that is none', async () => {
    for (const timeout of [-1, NaN, '5', {}, null]) {
      const appended = atomicAppendEvent(freshPath(), event(), timeout as number);
      expectCode(await rejection(appended), 'EVALIDATION');
    }
  });
});

describe('readChronicleFile and tailChronicleFile', () => {
  it('read a file of any name', async () => {
    const base = folder();
    mkdirSync(join(base, 'a'));
    const path = join(base, 'log.ndjson');
    writeFileSync(path, '{"n":1}\n\n{"n":2}\n{"n":3}\n');
    const odd = `${base}/a/../log.ndjson`;
    expect(await readChronicleFile(odd)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(await tailChronicleFile(odd, 2)).toEqual([{ n: 2 }, { n: 3 }]);
    expect(await tailChronicleFile(path, 0)).toEqual([]);
    expect(await readChronicleFile(join(base, 'none'))).toEqual([]);
  });

  it('give the last ten without a number', async () => {
    const path = freshPath('log.txt');
    writeFileSync(path, Array.from({ length: 12 }, (_, n) => `{"n":${n}}\n`).join(''));
    expect(await tailChronicleFile<{ n: number }>(path)).toHaveLength(10);
    const error = await rejection(tailChronicleFile(path, -1));
    expect(expectCode(error, 'EVALIDATION').message).toBe('Tail count must be non-negative');
  });
});

describe('fileExists', () => {
  it('says whether something is at the path, and never rejects', async () => {
    const path = freshPath();
    expect(await fileExists(path)).toBe(false);
    await append(path, event());
    expect(await fileExists(path)).toBe(true);
    for (const odd of ['', 'a\0b', undefined, {}])
      expect(await fileExists(odd as string)).toBe(false);
  });
});

describe('ensureChronicleDirectory', () => {
  it('makes the folders of a path and not the file', async () => {
    const path = join(folder(), 'a', 'b', 'log.sage');
    expect(await ensureChronicleDirectory(path)).toBeUndefined();
    await ensureChronicleDirectory(path);
    expect(existsSync(join(path, '..'))).toBe(true);
    expect(existsSync(path)).toBe(false);
  });

  it('fails with EIO and the code of the system', async () => {
    const file = freshPath();
    writeFileSync(file, '');
    const error = await rejection(ensureChronicleDirectory(join(file, 'a', 'log.sage')));
    expectCode(error, 'EIO');
    expect(error.cause.code).toBe('ENOTDIR');
    expectCode(await rejection(ensureChronicleDirectory(5 as never)), 'EVALIDATION');
  });
});

describe('the duplicate checks', () => {
  it('are exact over the whole file, whatever window is named', async () => {
    const path = freshPath();
    await append(path, event({ eventId: 'first' }));
    await append(path, event({ eventId: 'second' }), { idempotencyKey: 'the key' });
    for (let n = 0; n < 300; n += 1) appendFileSync(path, `${JSON.stringify({ n })}\n`);
    const window = { windowSize: 1, useIndex: false };
    expect(await isDuplicateEvent(path, 'first', window)).toBe(true);
    expect(await isDuplicateEvent(path, 'firs', window)).toBe(false);
    expect(await isDuplicateEvent(path, 'the key')).toBe(true);
    expect(await isDuplicateUsingIndex(path, 'second')).toBe(true);
    expect(await isDuplicateUsingIndex(path, 'third')).toBe(false);
    const answers = await batchCheckDuplicates(
      path,
      ['third', 'second', 'second', 'first'],
      window,
    );
    expect([...answers]).toEqual([
      ['third', false],
      ['second', true],
      ['first', true],
    ]);
    expect(await batchCheckDuplicates(path, [])).toEqual(new Map());
  });

  it('see an id that an escape hides, and not one that stands elsewhere in the line', async () => {
    const path = freshPath();
    writeFileSync(
      path,
      '{"eventId":"\\u0061"}\n{"note":"\\"eventId\\":\\"b\\"","x":{"eventId":"c"}}\n',
    );
    const answers = await batchCheckDuplicates(path, ['a', 'b', 'c']);
    expect([...answers.values()]).toEqual([true, false, false]);
  });

  it('find nothing where nothing can be read', async () => {
    expect(await isDuplicateEvent(freshPath(), 'id')).toBe(false);
    expect(await isDuplicateEvent(folder(), 'id')).toBe(false);
    expect([...(await batchCheckDuplicates(folder(), ['a', 'b'])).values()]).toEqual([
      false,
      false,
    ]);
  });

  it('refuse arguments of the wrong type', async () => {
    const path = freshPath();
    for (const id of ['', 5, undefined, null]) {
      expectCode(await rejection(isDuplicateEvent(path, id as string)), 'EVALIDATION');
      expectCode(await rejection(isDuplicateUsingIndex(path, id as string)), 'EVALIDATION');
      expectCode(await rejection(batchCheckDuplicates(path, [id as string])), 'EVALIDATION');
    }
    expectCode(await rejection(batchCheckDuplicates(path, 'id' as never)), 'EVALIDATION');
    expectCode(await rejection(isDuplicateEvent(5 as never, 'id')), 'EVALIDATION');
    for (const options of [
      { windowSize: -1 },
      { windowSize: '5' },
      { useIndex: 1 },
      { window: 5 },
    ]) {
      expectCode(await rejection(isDuplicateEvent(path, 'id', options as never)), 'EVALIDATION');
    }
  });
});

describe('maintainEventIndex', () => {
  it('resolves and makes nothing', async () => {
    const path = freshPath();
    expect(await maintainEventIndex(path)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    expectCode(await rejection(maintainEventIndex(5 as never)), 'EVALIDATION');
  });
});
