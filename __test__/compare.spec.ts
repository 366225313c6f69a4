// Events beside each other, without a file.
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { describe, expect, it } from 'vitest';
import {
  computeChronicleHash,
  eventsAreIdentical,
  filterEventsByType,
  findDuplicateEvents,
  getEventType,
  hasEventFields,
} from '../index.mjs';
import { event, expectCode, Random, rejection, thrown } from './support.js';

const wrong: any[] = [undefined, null, 5, 'text', [], () => 1];

function without({ eventId: _, ...rest }: Record<string, unknown>) {
  return rest;
}

/** The hash by an independent implementation of RFC 8785. */
function hashOf(events: object[]): string {
  const text = canonicalize(events.map((one) => without(one as Record<string, unknown>)));
  return createHash('sha256').update(text!, 'utf8').digest('hex');
}

function at(second: number, fields: object = {}) {
  return event({ timestamp: new Date(second * 1000).toISOString(), ...fields });
}

describe('computeChronicleHash', () => {
  it('is the hash of [] for no events', async () => {
    const hash = await computeChronicleHash([]);
    expect(hash).toBe('4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945');
  });

  it('is the hash of the canonical array, sorted by timestamp, without ids', async () => {
    const [a, b, c] = [at(1, { z: 1, a: 'é' }), at(2, { eventId: 'x' }), at(3, { n: 1e21 })];
    const expected = hashOf([a, b, c]);
    expect(await computeChronicleHash([a, b, c])).toBe(expected);
    expect(await computeChronicleHash([c, a, b])).toBe(expected);
    expect(await computeChronicleHash([c, { ...a, eventId: 'other' }, b])).toBe(expected);
    expect(await computeChronicleHash([a, b])).not.toBe(expected);
  });

  it('keeps the order of events of the same time', async () => {
    const [a, b] = [at(1, { n: 1 }), at(1, { n: 2 })];
    expect(await computeChronicleHash([a, b])).toBe(hashOf([a, b]));
    expect(await computeChronicleHash([b, a])).toBe(hashOf([b, a]));
    expect(hashOf([a, b])).not.toBe(hashOf([b, a]));
  });

  it('is right for more events than cross at once, and leaves the array as it is', async () => {
    const random = new Random();
    const events = Array.from({ length: 3000 }, (_, n) =>
      at(random.below(1e6), { n, pad: 'x'.repeat(random.below(1500)) }),
    );
    const given = [...events];
    const sorted = [...events].sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
    const times = new Set(events.map(({ timestamp }) => timestamp));
    const unique = sorted.filter(({ timestamp }) => times.delete(timestamp));
    expect(await computeChronicleHash(unique), `seed ${random.seed}`).toBe(hashOf(unique));
    await computeChronicleHash(events);
    expect(events).toEqual(given);
  });

  it('takes what other writers have for a timestamp', async () => {
    const events = [{ n: 1 }, { timestamp: 5, n: 2 }, { timestamp: {}, n: 3 }];
    const sorted = [{ n: 1 }, { timestamp: {}, n: 3 }, { timestamp: 5, n: 2 }];
    expect(await computeChronicleHash(events)).toBe(hashOf(sorted));
  });

  it('sees the events as they were at the call', async () => {
    const events = [at(1), at(2)];
    const expected = hashOf(events);
    const hash = computeChronicleHash(events);
    events[0]!.type = 'CHANGED';
    events.pop();
    expect(await hash).toBe(expected);
  });

  it('rejects what is no array of events, naming the place', async () => {
    for (const events of [undefined, null, {}, 'text'] as any[]) {
      expectCode(await rejection(computeChronicleHash(events)), 'EVALIDATION');
    }
    for (const one of wrong) {
      const error = await rejection(computeChronicleHash([at(9), one]));
      expect(expectCode(error, 'EVALIDATION').index).toBe(1);
    }
    let deep: object = {};
    for (let n = 0; n < 1000; n += 1) deep = { deep };
    const error = await rejection(computeChronicleHash([at(9), at(1, { deep })]));
    expect(expectCode(error, 'EVALIDATION').index).toBe(1);
  });
});

describe('eventsAreIdentical', () => {
  it('compares canonical forms without ids', () => {
    expect(eventsAreIdentical({ a: 1, b: [2] }, { b: [2], a: 1.0, eventId: 'x' })).toBe(true);
    expect(eventsAreIdentical({ a: 1 }, { a: '1' })).toBe(false);
    expect(eventsAreIdentical({ a: undefined }, {})).toBe(true);
    expect(eventsAreIdentical({ at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' })).toBe(true);
    expect(eventsAreIdentical({ a: { eventId: 1 } }, { a: { eventId: 2 } })).toBe(false);
    expect(eventsAreIdentical({ s: '\ud800' }, { s: '\ufffd' })).toBe(false);
  });

  it('throws for what is no event', () => {
    for (const one of wrong) {
      expectCode(
        thrown(() => eventsAreIdentical(one, {})),
        'EVALIDATION',
      );
      expectCode(
        thrown(() => eventsAreIdentical({}, one)),
        'EVALIDATION',
      );
    }
  });
});

describe('findDuplicateEvents', () => {
  it('gives the groups of two or more by their canonical text', () => {
    const [a, b] = [{ x: 1, y: 2 }, { other: true }];
    const again = { y: 2, x: 1, eventId: 'id' };
    const groups = findDuplicateEvents([a, b, again, { z: 1 }, again]);
    expect([...groups]).toEqual([['{"x":1,"y":2}', [a, again, again]]]);
    expect(groups.get('{"x":1,"y":2}')![0]).toBe(a);
    expect(findDuplicateEvents([a, b])).toEqual(new Map());
    expect(findDuplicateEvents([])).toEqual(new Map());
  });

  it('finds them also far apart', () => {
    const events = Array.from({ length: 20_000 }, (_, n) => event({ n: n % 19_999, pad: 'x' }));
    const groups = [...findDuplicateEvents(events).values()];
    expect(groups).toEqual([[events[0], events[19_999]]]);
    expect(groups[0]![1]).toBe(events[19_999]);
  });

  it('throws for what is no array of events', () => {
    expectCode(
      thrown(() => findDuplicateEvents({} as any)),
      'EVALIDATION',
    );
    const error = expectCode(
      thrown(() => findDuplicateEvents([{}, null as any])),
      'EVALIDATION',
    );
    expect(error.index).toBe(1);
  });
});

describe('types and fields', () => {
  it('getEventType gives the type', () => {
    expect(getEventType(event())).toBe('TEST_EVENT');
    for (const one of [undefined, null, 5] as any[]) {
      expectCode(
        thrown(() => getEventType(one)),
        'EVALIDATION',
      );
    }
  });

  it('filterEventsByType gives the events of one type in their order', () => {
    const events = [event({ n: 1 }), event({ type: 'BUILD' }), event({ n: 2 })];
    expect(filterEventsByType(events, 'TEST_EVENT')).toEqual([events[0], events[2]]);
    expect(filterEventsByType(events, 'DEPLOY')).toEqual([]);
    expect(filterEventsByType([null, {}] as any[], 'DEPLOY')).toEqual([]);
    for (const given of [
      [{}, 'X'],
      [[], 5],
    ] as any[][]) {
      const error = thrown(() => (filterEventsByType as any)(...given));
      expectCode(error, 'EVALIDATION');
    }
  });

  it('hasEventFields asks whether every field is there, inherited ones too', () => {
    const one = Object.create({ inherited: 1 }, { own: { value: undefined } });
    expect(hasEventFields(one, [])).toBe(true);
    expect(hasEventFields(one, ['own', 'inherited'])).toBe(true);
    expect(hasEventFields(one, ['own', 'missing'])).toBe(false);
    for (const nothing of [undefined, null, 'text', 5]) {
      expect(hasEventFields(nothing, ['length'])).toBe(false);
    }
    expectCode(
      thrown(() => hasEventFields({}, 'a' as any)),
      'EVALIDATION',
    );
  });
});
