// Analyzing a chronicle from JavaScript. What is counted how is shown in tests/analyze.rs.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  analyzeChronicle,
  append,
  findDuplicateEvents,
  formatAnalysisReport,
  readChronicle,
  validateCausalChain,
} from '../index.mjs';
import { event, expectCode, folder, freshPath, rejection, thrown } from './support.js';

function fileOf(lines: unknown[], end = '\n'): string {
  const path = freshPath();
  const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  writeFileSync(path, texts.join('\n') + end);
  return path;
}

const nothing = {
  totalEvents: 0,
  eventTypes: {},
  timeRange: null,
  actors: {},
  corruptedLines: 0,
  duplicateEvents: 0,
  causalChainIntegrity: {
    isValid: true,
    totalEvents: 0,
    chainedEvents: 0,
    brokenLinks: [],
    orphanedEvents: [],
  },
  avgEventSize: 0,
  largestEvent: { index: -1, size: 0, type: '' },
  eventsByHour: {},
  warnings: ['the chronicle is empty'],
  errors: [],
};

describe('analyzeChronicle', () => {
  it('has every field of the analysis', async () => {
    const events = [
      event({ timestamp: '2026-01-02T03:04:05.000Z', eventId: 'one' }),
      event({ timestamp: '2026-01-02T03:59:59.000Z', type: 'BUILD', eventId: 'two' }),
      event({ timestamp: '2026-01-02T01:00:00.000Z', eventId: 'three', prevEventId: 'gone' }),
    ];
    const path = fileOf([events[0], 'no object', events[1], '', events[2], '{"torn":'], '');
    const before = readFileSync(path);
    const sizes = events.map((each) => JSON.stringify(each).length);
    expect(await analyzeChronicle(path)).toEqual({
      totalEvents: 3,
      eventTypes: { TEST_EVENT: 2, BUILD: 1 },
      timeRange: { start: '2026-01-02T01:00:00.000Z', end: '2026-01-02T03:59:59.000Z' },
      actors: {
        'tester:one': {
          agent: 'tester',
          eventCount: 3,
          firstSeen: '2026-01-02T01:00:00.000Z',
          lastSeen: '2026-01-02T03:59:59.000Z',
        },
      },
      corruptedLines: 1,
      duplicateEvents: 0,
      causalChainIntegrity: await validateCausalChain(path, { onBadLine: () => {} }),
      avgEventSize: sizes.reduce((sum, size) => sum + size, 0) / 3,
      largestEvent: { index: 2, size: sizes[2], type: 'TEST_EVENT' },
      eventsByHour: { '2026-01-02T03': 2, '2026-01-02T01': 1 },
      warnings: [],
      errors: [expect.stringContaining('chain')],
    });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('agrees with the functions that look at chains, copies and sizes in JavaScript', async () => {
    const lines = Array.from({ length: 400 }, (_, n) => ({
      type: n % 7 === 0 ? undefined : `T${n % 5}`,
      n: n % 50,
      text: ['\ud800', 'é', '😀', '\u0001\n"', '\u2028'][n % 5],
      number: [1e21, -0, 0.1, 5e-324, 1e400][n % 5],
      eventId: n % 3 === 0 ? undefined : `id${n % 300}`,
      prevEventId: n % 4 === 0 ? `id${(n * 7) % 350}` : undefined,
      10: 1,
      '9': 2,
    }));
    const path = fileOf(lines);
    const events = await readChronicle<any>(path);
    const found = await analyzeChronicle(path);
    const sizes = events.map((each) => JSON.stringify(each).length);
    expect(found.totalEvents).toBe(400);
    expect(found.avgEventSize).toBe(sizes.reduce((sum, size) => sum + size, 0) / 400);
    expect(found.largestEvent.size).toBe(Math.max(...sizes));
    expect(found.largestEvent.index).toBe(sizes.indexOf(Math.max(...sizes)));
    const copies = [...findDuplicateEvents(events).values()];
    expect(found.duplicateEvents).toBe(copies.reduce((sum, group) => sum + group.length - 1, 0));
    expect(found.duplicateEvents).toBeGreaterThan(0);
    const chain = await validateCausalChain(path);
    expect(chain.brokenLinks.length).toBeGreaterThan(10);
    expect(found.causalChainIntegrity).toEqual(chain);
  });

  it('takes the records of other writers as they are', async () => {
    const path = fileOf([
      { persona: 'x', timestamp: Date.UTC(2026, 0, 2) },
      '{"type":"__proto__","actor":{"agent":"__proto__","id":"constructor"},"timestamp":"never"}',
      '{"type":"constructor","actor":{"agent":"","id":"x"},"__proto__":{"type":"A"}}',
      { type: 5, actor: 'me', eventId: 7, prevEventId: 'gone' },
      '5',
      '\0',
    ]);
    const found = await analyzeChronicle(path);
    expect(found).toMatchObject({ totalEvents: 4, corruptedLines: 2 });
    expect(Object.entries(found.eventTypes)).toEqual([
      ['__proto__', 1],
      ['constructor', 1],
    ]);
    expect(found.timeRange).toEqual({
      start: '2026-01-02T00:00:00.000Z',
      end: '2026-01-02T00:00:00.000Z',
    });
    const actor = { agent: '__proto__', eventCount: 1, firstSeen: '', lastSeen: '' };
    expect(Object.entries(found.actors)).toEqual([['__proto__:constructor', actor]]);
    expect(Object.keys(found.eventsByHour)).toEqual(['never']);
    expect(found.errors).toEqual([]);
    expect(({} as { type?: unknown }).type).toBeUndefined();
    const onlyPrototype = fileOf([{ type: 'X', actor: { agent: '__proto__', id: '' } }]);
    expect((await analyzeChronicle(onlyPrototype)).actors).toEqual({});
  });

  it('finds nothing in a missing file and makes none', async () => {
    const path = join(folder(), 'deep', 'log.sage');
    expect(await analyzeChronicle(path)).toEqual(nothing);
    expect(existsSync(join(path, '..'))).toBe(false);
  });

  it('lets the event loop go on, and needs no lock', async () => {
    const line = `${JSON.stringify(event({ pad: 'x'.repeat(1000) }))}\n`;
    const path = freshPath();
    writeFileSync(path, line.repeat(20_000));
    let turns = 0;
    const clock = setInterval(() => (turns += 1), 1);
    const appends = [append(path, event({ n: 1 })), append(path, event({ n: 2 }))];
    const { totalEvents, duplicateEvents } = await analyzeChronicle(path);
    clearInterval(clock);
    await Promise.all(appends);
    expect(totalEvents).toBeGreaterThanOrEqual(20_000);
    expect(duplicateEvents).toBe(19_999);
    expect(turns).toBeGreaterThan(0);
  });

  it('rejects with the reason of its signal, and for wrong paths and options', async () => {
    const path = fileOf(
      Array.from({ length: 100_000 }, () => '{"pad":"xxxxxxxxxxxxxxxxxxxxxxxx"}'),
    );
    const reason = { why: 'given up' };
    const aborted = { signal: AbortSignal.abort(reason) };
    expect(await rejection(analyzeChronicle(path, aborted))).toBe(reason);
    const controller = new AbortController();
    const late = analyzeChronicle(path, { signal: controller.signal });
    controller.abort(reason);
    expect(await rejection(late)).toBe(reason);
    const loose = analyzeChronicle as (...given: unknown[]) => Promise<unknown>;
    for (const given of [
      [5],
      ['log.ndjson'],
      ['../log.sage'],
      [folder(), { anyExtension: true }],
      [path, null],
      [path, { signal: {} }],
      [path, { onBadLine: 'skip' }],
    ]) {
      expectCode(await rejection(loose(...given)), 'EVALIDATION');
    }
    const other = join(folder(), 'log.ndjson');
    appendFileSync(other, '{}\n');
    expect((await analyzeChronicle(other, { anyExtension: true })).totalEvents).toBe(1);
  });
});

describe('formatAnalysisReport', () => {
  it('formats the analysis as a report', async () => {
    const many = (actor: string, count: number) =>
      Array.from({ length: count }, (_, n) =>
        event({ actor: { agent: actor, id: 'x' }, n, type: count > 3 ? 'BUILD' : 'DEPLOY' }),
      );
    const path = fileOf([
      ...['a', 'b', 'c', 'd', 'e', 'f'].flatMap((actor, at) => many(actor, at + 1)),
      event({ eventId: 'one', prevEventId: 'gone', pad: 'x'.repeat(10_001) }),
      'no object',
    ]);
    const text = formatAnalysisReport(await analyzeChronicle(path));
    const lines = text.split('\n');
    expect(lines[0]).toBe('Chronicle analysis');
    for (const line of [
      'events: 22',
      'time: 2026-01-02T03:04:05.000Z to 2026-01-02T03:04:05.000Z',
      'types: 3',
      'actors: 7',
      'corrupted lines: 1',
      'chain: broken, 1 of 22 events linked',
      '  BUILD: 15',
      '  DEPLOY: 6',
      '  TEST_EVENT: 1',
      '  f:x: 6',
      '  b:x: 2',
      'Warnings',
      'Errors',
    ]) {
      expect(lines).toContain(line);
    }
    const actors = lines.slice(lines.indexOf('Most active actors') + 1).slice(0, 6);
    expect(actors).toEqual(['  f:x: 6', '  e:x: 5', '  d:x: 4', '  c:x: 3', '  b:x: 2', '']);
    expect(text.endsWith('\n')).toBe(false);
  });

  it('formats an empty analysis', async () => {
    const text = formatAnalysisReport(await analyzeChronicle(freshPath()));
    for (const part of ['events: 0', 'time: none', 'largest: none', 'chain: whole', 'empty']) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain('Errors');
  });

  it('throws for what is no analysis', () => {
    const loose = formatAnalysisReport as (given?: unknown) => string;
    for (const given of [undefined, null, 5, {}, { totalEvents: 1 }]) {
      expectCode(
        thrown(() => loose(given)),
        'EVALIDATION',
      );
    }
  });
});
