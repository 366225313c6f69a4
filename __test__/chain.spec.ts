// Causal chains over a file.
import { renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  append,
  appendEvents,
  appendWithCausalChain,
  buildCausalChain,
  computeEventId,
  getChainTail,
  getCompleteChain,
  readChronicle,
  validateCausalChain,
  verifyChronicle,
  verifyEventId,
} from '../index.mjs';
import { event, expectCode, freshPath, rejection, warningsOf } from './support.js';

/** A chronicle of linked events, each given as `id` or `id<prev`, a second apart. */
function linked(...links: string[]): string {
  const lines = links.map((link, n) => {
    const [eventId, prevEventId] = link.split('<');
    return JSON.stringify(
      event({
        ...(eventId ? { eventId } : {}),
        ...(prevEventId ? { prevEventId } : {}),
        timestamp: new Date(n * 1000).toISOString(),
      }),
    );
  });
  const path = freshPath();
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
  return path;
}

const missing = () => freshPath();

describe('buildCausalChain', () => {
  it('returns for each event whether its neighbours are in the file', async () => {
    const path = linked('a', 'b<a', 'c<gone', '', 'd<b');
    const chain = await buildCausalChain(path);
    expect(chain.map(({ hasNext, hasPrev }) => [hasNext, hasPrev])).toEqual([
      [true, false],
      [true, true],
      [false, false],
      [false, false],
      [false, true],
    ]);
    expect(chain.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
    expect(chain.map((link) => link.event)).toEqual(await readChronicle(path));
    expect(await buildCausalChain(missing())).toEqual([]);
  });
});

describe('validateCausalChain', () => {
  it('finds nothing wrong where each link leads to an earlier event, or where there is none', async () => {
    expect(await validateCausalChain(linked('a', 'b<a', 'c<b', 'd<c', 'b<a'))).toEqual({
      isValid: true,
      totalEvents: 5,
      chainedEvents: 4,
      brokenLinks: [],
      orphanedEvents: [],
    });
    for (const path of [linked('a', 'b', ''), missing()]) {
      expect(await validateCausalChain(path)).toMatchObject({ isValid: true, chainedEvents: 0 });
    }
  });

  it('reports each kind of broken link', async () => {
    const result = await validateCausalChain(linked('a<gone', 'b<c', 'c<c', 'd<a', '<gone', 'e<a'));
    expect(result).toEqual({
      isValid: false,
      totalEvents: 6,
      chainedEvents: 5,
      brokenLinks: [
        { eventIndex: 0, eventId: 'a', issue: 'missing_prev', details: expect.any(String) },
        { eventIndex: 1, eventId: 'b', issue: 'invalid_prev', details: expect.any(String) },
        { eventIndex: 2, eventId: 'c', issue: 'circular_reference', details: expect.any(String) },
        { eventIndex: 5, eventId: 'e', issue: 'fork', details: expect.any(String) },
      ],
      orphanedEvents: ['a'],
    });
    expect(result.brokenLinks[1]!.details).toContain('event 2');
    expect(result.brokenLinks[3]!.details).toContain('an earlier event');
  });

  it('takes records of other writers as they are', async () => {
    const path = freshPath();
    writeFileSync(path, '{"eventId":5,"prevEventId":{}}\n{"eventId":"","prevEventId":""}\n[]\n');
    const options = { onBadLine: () => {} };
    const result = await validateCausalChain(path, options);
    expect(result).toMatchObject({ isValid: true, totalEvents: 2, chainedEvents: 0 });
    expect(await buildCausalChain(path, options)).toHaveLength(2);
    expect(await getChainTail(path, options)).toBeUndefined();
    expectCode(await rejection(validateCausalChain(path, { onBadLine: 'throw' })), 'ECORRUPT');
  });
});

describe('getCompleteChain', () => {
  const idsOf = async (path: string, id: string) =>
    (await getCompleteChain(path, id)).map(({ eventId }) => eventId);

  it('returns the way back to the root and the descendants, in the order of time', async () => {
    const path = linked('a', 'x', 'b<a', 'y<x', 'c<b', 'd<b', '<c');
    expect(await idsOf(path, 'b')).toEqual(['a', 'b', 'c', 'd']);
    expect(await idsOf(path, 'd')).toEqual(['a', 'b', 'c', 'd']);
    expect(await idsOf(path, 'x')).toEqual(['x', 'y']);
    const [a, ...later] = (await readChronicle(path)).filter(({ eventId }) => eventId);
    const reversed = freshPath();
    const lines = [a!, ...later].reverse().map((one) => `${JSON.stringify(one)}\n`);
    writeFileSync(reversed, lines.join(''));
    expect(await idsOf(reversed, 'd')).toEqual(['a', 'b', 'c', 'd']);
    // What stands before the event that it follows is not met on the way through the file.
    expect(await idsOf(reversed, 'a')).toEqual(['a', 'b']);
  });

  it('ends where links run in a circle or lead nowhere', async () => {
    expect(await idsOf(linked('a<c', 'b<a', 'c<b'), 'b')).toEqual(['a', 'b', 'c']);
    expect(await idsOf(linked('a<gone', 'b<a'), 'b')).toEqual(['a', 'b']);
  });

  it('rejects an id that no event has', async () => {
    const path = linked('a');
    for (const id of ['b', '', undefined, 5] as any[]) {
      expectCode(await rejection(getCompleteChain(path, id)), 'EVALIDATION');
    }
    expectCode(await rejection(getCompleteChain(missing(), 'a')), 'EVALIDATION');
  });
});

describe('getChainTail', () => {
  it('is the id of the last event', async () => {
    expect(await getChainTail(linked('a', 'b'))).toBe('b');
    expect(await getChainTail(linked('a', ''))).toBeUndefined();
    expect(await getChainTail(missing())).toBeUndefined();
  });
});

describe('appendWithCausalChain', () => {
  it('appends, and sets on the event what is in the file', async () => {
    const path = freshPath();
    const first = event({ n: 1 });
    expect(await appendWithCausalChain(path, first)).toBe(first);
    expect(first).not.toHaveProperty('prevEventId');
    const second = event({ n: 2 });
    await appendWithCausalChain(path, second);
    const stored = await readChronicle(path);
    expect(stored).toEqual([first, second]);
    expect(second).toMatchObject({ prevEventId: stored[0]!.eventId });
    expect(await Promise.all(stored.map((one) => verifyEventId(one)))).toEqual([true, true]);
    expect(await getChainTail(path)).toBe((second as { eventId?: string }).eventId);
  });

  it('writes nothing for an event that it has appended, as it was or as it is now', async () => {
    const path = freshPath();
    await append(path, event({ n: 0 }));
    const changed = event({ n: 1 });
    await appendWithCausalChain(path, changed);
    const asItWas = event({ n: 1 });
    const warnings = await warningsOf('CHRONICLE_ID_REUSED', async () => {
      await append(path, event({ n: 2 }));
      await appendWithCausalChain(path, asItWas);
      await appendWithCausalChain(path, changed);
      await append(path, changed);
    });
    expect(warnings).toEqual([]);
    expect(asItWas).toEqual(changed);
    expect(await readChronicle(path)).toHaveLength(3);
  });

  it('builds one chain when many append at once', async () => {
    const path = freshPath();
    const events = Array.from({ length: 100 }, (_, n) => event({ n }));
    await Promise.all(events.map((one) => appendWithCausalChain(path, one)));
    const links = await buildCausalChain(path);
    expect(links.filter(({ hasPrev }) => hasPrev)).toHaveLength(99);
    expect(links.filter(({ hasNext }) => hasNext)).toHaveLength(99);
    expect(await validateCausalChain(path)).toMatchObject({ isValid: true, chainedEvents: 99 });
    expect(await verifyChronicle(path)).toMatchObject({ ok: true, findings: [] });
    const byN = [...events].sort((a, b) => a.n - b.n);
    const stored = (await readChronicle<any>(path)).sort((a, b) => a.n - b.n);
    expect(stored).toEqual(byN);
  });

  it('takes the prevEventId that is forced, or that the event has', async () => {
    const path = linked('a', 'b', 'c');
    const forced = await appendWithCausalChain(path, event({ prevEventId: 'c', n: 1 }), {
      forcePrevEventId: 'a',
    });
    const given = await appendWithCausalChain(path, event({ prevEventId: 'b', eventId: 'mine' }));
    expect(forced.prevEventId).toBe('a');
    expect(given).toMatchObject({ prevEventId: 'b', eventId: 'mine' });
    expect((await readChronicle(path)).slice(3)).toEqual([forced, given]);
    const { eventId, ...rest } = forced as { eventId?: string };
    expect(eventId).toBe(await computeEventId(rest));
  });

  it('leaves the event as it was when nothing was appended', async () => {
    const path = freshPath();
    const bad: any[] = [
      [event({ eventId: 'given' })],
      [event({ actor: 'nobody' })],
      [Object.freeze(event())],
      [event(), { forcePrevEventId: '' }],
      [event(), { chain: true }],
      [event(), { lockTimeoutMs: -1 }],
      [null],
      [[]],
    ];
    for (const [one, options] of bad) {
      const before = JSON.stringify(one);
      expectCode(await rejection(appendWithCausalChain(path, one, options)), 'EVALIDATION');
      expect(JSON.stringify(one)).toBe(before);
    }
    const reason = new Error('no');
    const signal = AbortSignal.abort(reason);
    expect(await rejection(appendWithCausalChain(path, event(), { signal }))).toBe(reason);
    expect(await readChronicle(path)).toEqual([]);
  });

  it('takes paths through links and options of append', async () => {
    const path = freshPath('log.ndjson');
    const link = freshPath('link.ndjson');
    symlinkSync(path, link);
    const options = {
      anyExtension: true,
      idempotencyKey: 'once',
      durability: 'os' as const,
      lockTimeoutMs: 5000,
    };
    const one = await appendWithCausalChain(link, event(), options);
    expect(one).toHaveProperty('idempotencyKey', 'once');
    expect(await readChronicle(path, { anyExtension: true })).toEqual([one]);
  });

  it('reports that the file was replaced before the record is read back', async () => {
    const path = freshPath();
    await appendEvents(path, [event({ n: 1 }), event({ n: 2 })]);
    const other = freshPath();
    // A record of the same length at the same place.
    await appendEvents(other, [event({ n: 5 }), event({ n: 6 }), event({ n: 7 })]);
    const swap = () => {
      unlinkSync(path);
      renameSync(other, path);
    };
    const one = event({ n: 4 });
    const { recordAt } = await import('../lib/check/chain.js');
    const receipt = await append(path, one);
    swap();
    const error = expectCode(await rejection(recordAt(path, receipt)), 'ECONFLICT');
    expect(error).toMatchObject({ path, written: 'unknown' });
    unlinkSync(path);
    expectCode(await rejection(recordAt(path, receipt)), 'ECONFLICT');
  });
});
