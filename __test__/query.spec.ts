import { appendFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { appendEvents, countEvents, queryChronicle } from '../index.mjs';
import type { QueryOptions, Where } from '../index.mjs';
import { event, expectCode, freshPath, rejection, warningsOf } from './support.js';

const TYPES = ['BUILD', 'DEPLOY', 'NOTE'];

interface Numbered {
  n: number;
}

/** Thirty events, a minute apart. */
async function thirty(): Promise<string> {
  const path = freshPath();
  await appendEvents(
    path,
    Array.from({ length: 30 }, (_, n) =>
      event({
        n,
        type: TYPES[n % 3] ?? '',
        timestamp: new Date(n * 60_000).toISOString(),
        actor: { agent: `agent-${n % 2}`, id: `id-${n % 5}` },
        tags: n % 4 === 0 ? ['four', `tag-${n}`] : [],
        ...(n > 0 && {
          planHash: `plan-${n % 7}`,
          graphCommit: 'c',
          prevEventId: `event-${n - 1}`,
        }),
        eventId: `event-${n}`,
      }),
    ),
  );
  return path;
}

async function numbers(path: string, where?: Where, options?: QueryOptions): Promise<number[]> {
  const found = await queryChronicle<Numbered>(path, where, { ...options, positions: false });
  return found.map(({ n }) => n);
}

describe('queryChronicle', () => {
  it('gives all without where, and nothing for a missing file', async () => {
    const path = await thirty();
    expect(await queryChronicle(path)).toHaveLength(30);
    expect(await queryChronicle(path, {})).toHaveLength(30);
    expect(await queryChronicle(freshPath(), { type: 'BUILD' })).toEqual([]);
    expect(await countEvents(freshPath(), { type: 'BUILD' })).toBe(0);
  });

  it('finds by every field of the envelope, and all that is asked must hold', async () => {
    const path = await thirty();
    for (const [where, holds] of [
      [{ type: 'BUILD' }, (n) => n % 3 === 0],
      [{ type: ['BUILD', 'NOTE'] }, (n) => n % 3 !== 1],
      [{ actor: { agent: 'agent-1' } }, (n) => n % 2 === 1],
      [{ actor: { id: 'id-3' } }, (n) => n % 5 === 3],
      [{ actor: { agent: 'agent-1', id: 'id-3' } }, (n) => n % 10 === 3],
      [{ actor: {} }, () => true],
      [{ tags: 'four' }, (n) => n % 4 === 0],
      [{ tags: ['tag-8', 'four'] }, (n) => n === 8],
      [{ tags: ['tag-8', 'tag-4'] }, () => false],
      [{ planHash: 'plan-3' }, (n) => n % 7 === 3],
      [{ graphCommit: 'c' }, (n) => n > 0],
      [{ eventId: 'event-17' }, (n) => n === 17],
      [{ prevEventId: 'event-17' }, (n) => n === 18],
      [{ type: 'DEPLOY', actor: { agent: 'agent-0' } }, (n) => n % 3 === 1 && n % 2 === 0],
      [{ type: undefined, tags: undefined }, () => true],
    ] as [Where, (n: number) => boolean][]) {
      const expected = Array.from({ length: 30 }, (_, n) => n).filter(holds);
      expect(await numbers(path, where), JSON.stringify(where)).toEqual(expected);
      expect(await countEvents(path, where), JSON.stringify(where)).toBe(expected.length);
    }
  });

  it('takes times as text, Date and milliseconds, with both ends included', async () => {
    const path = await thirty();
    const ten = 10 * 60_000;
    for (const since of [ten, new Date(ten), '1970-01-01T00:10:00Z', '1970-01-01T01:10:00+01:00']) {
      for (const until of [ten * 2, new Date(ten * 2), '1970-01-01T00:20:00.000Z']) {
        const found = await numbers(path, { since, until });
        expect(found).toEqual(Array.from({ length: 11 }, (_, i) => 10 + i));
      }
    }
    expect(await countEvents(path, { until: '1970' })).toBe(1);
  });

  it('counts an integer timestamp as milliseconds, and one that cannot be read as none', async () => {
    const path = freshPath();
    const stamps = ['1000', '1000.5', '"1970-01-01T00:00:01Z"', '"yesterday"', 'null', '{}'];
    writeFileSync(path, stamps.map((stamp, n) => `{"n":${n},"timestamp":${stamp}}\n`).join(''));
    appendFileSync(path, '{"n":6}\n');
    expect(await numbers(path, { since: 0 })).toEqual([0, 2]);
    expect(await numbers(path, { since: 1000, until: 1000 })).toEqual([0, 2]);
    expect(await numbers(path, { since: 1001 })).toEqual([]);
  });

  it('gives the latest by reverse and limit, and the n-th by skip', async () => {
    const path = await thirty();
    expect(await numbers(path, { type: 'BUILD' }, { reverse: true, limit: 1 })).toEqual([27]);
    expect(await numbers(path, { type: 'BUILD' }, { reverse: true, limit: 1, skip: 2 })).toEqual([
      21,
    ]);
    expect(await numbers(path, { type: 'BUILD', since: 600_000 }, { limit: 1, skip: 1 })).toEqual([
      15,
    ]);
    expect(await numbers(path, { type: 'BUILD' }, { skip: 100 })).toEqual([]);
    expect(await numbers(path, {}, { limit: 0 })).toEqual([]);
    expect(await numbers(path, {}, { skip: 28 })).toEqual([28, 29]);
  });

  it('gives positions with the numbers of the file, in either order', async () => {
    const path = await thirty();
    const all = await queryChronicle(path, {}, { positions: true });
    expect(all.map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    for (const reverse of [false, true]) {
      const found = await queryChronicle(path, { type: 'NOTE' }, { positions: true, reverse });
      expect(found).toHaveLength(10);
      for (const each of found) expect(each).toEqual(all[each.seq - 1]);
    }
  });

  it('sees escaped text as what it stands for', async () => {
    const path = freshPath();
    const lines = [
      '{"n":0,"type":"\\u0041\\/B"}',
      '{"n":1,"\\u0074ype":"A/B"}',
      '{"n":2,"type":"A/B"}',
    ];
    writeFileSync(path, `${lines.join('\n')}\n`);
    expect(await numbers(path, { type: 'A/B' })).toEqual([0, 1, 2]);
    expect(await numbers(path, { type: 'A\\/B' })).toEqual([]);
    const odd = freshPath();
    await appendEvents(odd, [
      event({ n: 0, type: 'a"\\\n\u2028😀' }),
      event({ n: 1, type: '\ud800' }),
    ]);
    expect(await numbers(odd, { type: 'a"\\\n\u2028😀' })).toEqual([0]);
    expect(await numbers(odd, { type: '\ud800' })).toEqual([1]);
  });

  it('reports every bad line if requested, else the lines that could match', async () => {
    const path = await thirty();
    appendFileSync(path, 'bad\n{"type":"BUILD"\n');
    const bad: number[] = [];
    const onBadLine = ({ line }: { line: number }) => bad.push(line);
    expect(await countEvents(path, { type: 'BUILD' }, { onBadLine })).toBe(10);
    expect(bad).toEqual([31, 32]);
    const reverse = await rejection(
      queryChronicle(path, { type: 'BUILD' }, { reverse: true, limit: 1, onBadLine: 'throw' }),
    );
    expectCode(reverse, 'ECORRUPT');
    expect(reverse.line).toBe(32);
    const told = await warningsOf('CHRONICLE_BAD_LINES', () =>
      countEvents(path, { type: 'BUILD' }),
    );
    expect(told.map(({ message }) => message)).toEqual([expect.stringMatching(/1 bad line/)]);
  });

  it('rejects what it cannot ask, and with the reason of its signal', async () => {
    const path = await thirty();
    for (const [where, options] of [
      [{ nope: 1 }, {}],
      [5, {}],
      [[], {}],
      [{ since: 'soon' }, {}],
      [{ until: Number.NaN }, {}],
      [{ actor: { name: 'x' } }, {}],
      [{}, { skip: -1 }],
      [{}, { from: 'start' }],
    ] as [never, never][]) {
      expectCode(await rejection(queryChronicle(path, where, options)), 'EVALIDATION');
    }
    expectCode(await rejection(countEvents(path, {}, { limit: 1 } as never)), 'EVALIDATION');
    const reason = { why: 'enough' };
    const signal = AbortSignal.abort(reason);
    expect(await rejection(queryChronicle(path, {}, { signal }))).toBe(reason);
    expect(await rejection(countEvents(path, {}, { signal }))).toBe(reason);
  });
});
