// Foreign texts in messages are shortened and escaped. They may be as long as an event, imitate
// lines of a log, or control a terminal.
import { describe, expect, it } from 'vitest';
import {
  analyzeChronicle,
  append,
  appendEvents,
  getCompleteChain,
  openChronicle,
  queryChronicle,
  readChronicle,
  streamChronicle,
  validateCausalChain,
  verifyChronicle,
} from '../index.mjs';
import { event, freshPath, rejection, warningsOf } from './support';

const LONG = `\u001b[2J\n\u202e${'x'.repeat(1 << 20)}`;

function expectShort(text: string) {
  expect(text.length).toBeLessThan(600);
  expect(text).toContain('\\u001b[2J\\u000a\\u202exxx');
  expect(text).not.toMatch(/[\u0000-\u001f\u202e]/);
}

describe('the warning of an id that was reused', () => {
  it('comes once for each log, and names it', async () => {
    const paths = [freshPath(), freshPath()];
    const warnings = await warningsOf('CHRONICLE_ID_REUSED', async () => {
      for (const path of paths) {
        await append(path, event({ eventId: 'same', n: 0 }));
        for (let n = 1; n < 20; n += 1) await append(path, event({ eventId: 'same', n }));
        await appendEvents(path, [
          event({ eventId: 'same', n: 1 }),
          event({ eventId: 'same', n: 2 }),
        ]);
      }
    });
    expect(warnings.map(({ message }) => message)).toEqual(
      paths.map(
        (path) =>
          `event id same is in the log with another content; the event was not written (in ${path})`,
      ),
    );
  });

  it('has only the beginning of the id', async () => {
    const path = freshPath();
    const [warning, ...others] = await warningsOf('CHRONICLE_ID_REUSED', async () => {
      for (const n of [1, 2]) await append(path, event({ eventId: LONG, n }));
    });
    expectShort(warning!.message);
    expect(others).toEqual([]);
  });
});

describe('a message', () => {
  it('has only the beginning of an id, a type, a name, or a key of the caller', async () => {
    const path = freshPath();
    await append(path, event({ eventId: LONG }));
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: () => ({ issues: [{ message: LONG, path: [LONG] }] }),
      },
    };
    const log = await openChronicle(path, { validate: schema as any });
    const failures = [
      () => append(path, event({ eventId: LONG, n: 2 }), { onIdReuse: 'reject' }),
      () => append(path, event({ n: 2 }), { expectedTail: `${LONG}2` }),
      () => append(path, { type: LONG } as any),
      () => append(path, event(), { [LONG]: 1 } as any),
      () =>
        append(path, {
          ...event(),
          get n() {
            throw new Error(LONG);
          },
        }),
      () =>
        append(path, event(), {
          get chain() {
            throw new Error(LONG);
          },
        } as any),
      () => queryChronicle(path, { [LONG]: 1 } as any),
      () => queryChronicle(path, { since: LONG }),
      () => getCompleteChain(path, `${LONG}3`),
      () => streamChronicle(path, { from: { cursor: LONG } }).next(),
      () => log.append(event()),
      () => readChronicle(path, { onBadLine: LONG } as any),
    ];
    for (const failure of failures) {
      const { message } = await rejection(failure());
      expect(message.length, message.slice(0, 100)).toBeLessThan(900);
      expect(message).not.toMatch(/[\u0000-\u001f\u202e]/);
    }
    await log.close();
  });

  it('of a check has only the beginning of what a record says', async () => {
    const path = freshPath();
    await append(path, event({ prevEventId: LONG, eventId: 'a' }));
    const { findings } = await verifyChronicle(path);
    const broken = findings.find(({ kind }) => kind === 'broken-chain');
    expectShort(broken!.details);
    expectShort((await validateCausalChain(path)).brokenLinks[0]!.details);
    const { causalChainIntegrity } = await analyzeChronicle(path);
    expectShort(causalChainIntegrity.brokenLinks[0]!.details);
  });
});

describe('a message about a place or a time', () => {
  const where = (since: unknown) => rejection(queryChronicle(freshPath(), { since } as never));
  const from = (place: unknown) =>
    rejection(streamChronicle(freshPath(), { from: place } as never).next());

  it('says that a place has exactly one of its fields', async () => {
    const rule =
      "must be 'start', 'end' or an object with exactly one of seq, offset, eventId, time, cursor";
    for (const place of [5, {}, { seq: 1, offset: 1 }]) {
      expect((await from(place)).message).toBe(`from ${rule}`);
    }
  });

  it('has the forms of a time, and what was given instead', async () => {
    const rule = 'must be an ISO 8601 string, a Date or milliseconds; got';
    for (const [since, got] of [
      [1.5, '1.5'],
      [Number.NaN, 'NaN'],
      [null, 'null'],
      [{}, 'object'],
      [true, 'boolean'],
      [new Date('nonsense'), 'an invalid Date'],
    ]) {
      expect((await where(since)).message).toBe(`where.since ${rule} ${got}`);
    }
    expect((await from({ time: null })).message).toBe(`from.time ${rule} null`);
  });
});
