import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import canonicalize from 'canonicalize';
import { describe, expect, it } from 'vitest';
import {
  canonicalizeEvent,
  computeEventId,
  computeEventIds,
  serializeEvent,
  verifyEventId,
} from '../index.mjs';
import { binding, event, Random } from './support.js';

type Vector = { name: string; json: string; canonical: string; sha256: string; form: string };

const vectors: Vector[] = JSON.parse(
  readFileSync(new URL('../fixtures/vectors.json', import.meta.url), 'utf8'),
);

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** The canonical text of a JSON text, as ids are computed from. */
function canonical(json: string, form: 'jcs' | 'legacy' = 'jcs'): string {
  const outcome = JSON.parse(binding.canonicalText(json, form === 'legacy'));
  if (outcome.error) throw new Error(`${outcome.error.message}: ${json}`);
  return outcome.ok;
}

describe('the vectors', () => {
  it('are there, in both forms', () => {
    expect(vectors.length).toBeGreaterThanOrEqual(12);
    expect(new Set(vectors.map(({ form }) => form)).size).toBe(2);
  });

  it.each(vectors.map((vector): [string, Vector] => [vector.name, vector]))(
    'hold for %s',
    async (_name, vector) => {
      const form = vector.form.toLowerCase() === 'legacy' ? 'legacy' : 'jcs';
      expect(canonical(vector.json, form)).toBe(vector.canonical);
      expect(sha256(vector.canonical)).toBe(vector.sha256);
      const value = JSON.parse(vector.json);
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
      if ('eventId' in value) return;
      if (form === 'jcs') expect(await computeEventId(value)).toBe(vector.sha256);
      expect(await verifyEventId({ ...value, eventId: vector.sha256 })).toBe(true);
    },
  );
});

describe('computeEventId', () => {
  it('is the hash of the canonical form without eventId', async () => {
    expect(await computeEventId({ c: 3, a: 1, b: [{ y: 2, x: 1 }] })).toBe(
      'c5bc847d25fa60094e19f50487a8d1f78636e068789dade34e92ea1c82601078',
    );
    const minimal = { type: 'X', timestamp: 't', actor: { agent: 'a', id: 'b' } };
    const id = 'a50d1b2524ab64bb60fe88340c702b78ecebb00c1f1c0113c2c65e5d56b7ea8f';
    expect(await computeEventId(minimal)).toBe(id);
    expect(await computeEventId({ eventId: 'whatever', ...minimal })).toBe(id);
    expect(await computeEventId({ ...minimal, eventId: 5 })).toBe(id);
    expect(await computeEventId({ ...minimal, deep: { eventId: 'x' } })).not.toBe(id);
  });

  it('hashes what JSON.stringify writes', async () => {
    const odd = { d: new Date(0), gone: undefined, f: () => {}, list: [undefined, NaN, -0] };
    const plain = { d: '1970-01-01T00:00:00.000Z', list: [null, null, 0] };
    expect(await computeEventId(odd)).toBe(await computeEventId(plain));
    expect(await computeEventId({})).toBe(sha256('{}'));
    expect(await computeEventId({ toJSON: () => plain })).toBe(await computeEventId(plain));
  });

  it('distinguishes a lone surrogate from the replacement character', async () => {
    expect(await computeEventId({ s: '\ud800' })).toBe(sha256('{"s":"\\ud800"}'));
    expect(await computeEventId({ s: '\ufffd' })).toBe(sha256('{"s":"\ufffd"}'));
  });
});

describe('computeEventIds', () => {
  it('gives the ids in order, over slices, the event loop turning between them', async () => {
    const events = Array.from({ length: 6000 }, (_, n) => ({ n, text: 'x'.repeat(1000) }));
    let turns = 0;
    let computing = true;
    const turn = () => {
      turns += 1;
      if (computing) setImmediate(turn);
    };
    setImmediate(turn);
    const ids = await computeEventIds(events);
    computing = false;
    expect(turns).toBeGreaterThanOrEqual(4);
    expect(ids).toEqual(events.map((value) => sha256(JSON.stringify(value))));
    expect(await computeEventIds([])).toEqual([]);
  });

  it('gives as many ids as there are events, however small these are', async () => {
    const ids = await computeEventIds(Array(300_000).fill({}));
    expect(ids).toHaveLength(300_000);
    expect(new Set(ids)).toEqual(new Set([sha256('{}')]));
  });
});

describe('verifyEventId', () => {
  it('is true for the computed id only', async () => {
    const eventId = await computeEventId(event());
    expect(await verifyEventId({ ...event(), eventId })).toBe(true);
    expect(await verifyEventId({ eventId, ...event() })).toBe(true);
    expect(await verifyEventId({ ...event(), eventId: eventId.toUpperCase() })).toBe(false);
    expect(await verifyEventId({ ...event({ n: 1 }), eventId })).toBe(false);
    expect(await verifyEventId({ ...event(), eventId: 'given' })).toBe(false);
    expect(await verifyEventId({ ...event(), eventId: '' })).toBe(false);
    expect(await verifyEventId({ ...event(), eventId: null })).toBe(false);
    expect(await verifyEventId(event())).toBe(false);
  });

  it('takes the order of the predecessor too, integer-like keys first', async () => {
    const keyed = { a: 1, 10: 2, 9: 3 };
    const legacy = sha256('{"9":3,"10":2,"a":1}');
    const jcs = sha256('{"10":2,"9":3,"a":1}');
    expect(await computeEventId(keyed)).toBe(jcs);
    expect(await verifyEventId({ ...keyed, eventId: jcs })).toBe(true);
    expect(await verifyEventId({ ...keyed, eventId: legacy })).toBe(true);
    expect(await verifyEventId({ ...keyed, eventId: sha256('{"a":1,"9":3,"10":2}') })).toBe(false);
  });
});

describe('canonicalizeEvent', () => {
  it('copies the own enumerable fields without eventId, in their order', () => {
    const inherited = Object.create({ inherited: 1 });
    const value = Object.assign(inherited, { z: 1, eventId: 'x', a: { eventId: 'inner' } });
    Object.defineProperty(value, 'hidden', { value: 1, enumerable: false });
    const copy = canonicalizeEvent(value) as any;
    expect(Object.keys(copy)).toEqual(['z', 'a']);
    expect(copy.a).toBe(value.a);
    expect(copy.inherited).toBeUndefined();
    expect(value.eventId).toBe('x');
    const own = JSON.parse('{"__proto__":{"p":1},"a":1}');
    expect(JSON.stringify(canonicalizeEvent(own))).toBe('{"__proto__":{"p":1},"a":1}');
  });
});

describe('serializeEvent', () => {
  it('is the JSON text in insertion order and a newline', () => {
    const value = { z: 'ü\n\u2028', a: [1, undefined], gone: undefined };
    expect(serializeEvent(value)).toBe(`${JSON.stringify(value)}\n`);
    expect(serializeEvent({})).toBe('{}\n');
  });
});

// A number from 64 random bits, as a program that stores measurements would have it.
const bits = new DataView(new ArrayBuffer(8));
function double(random: Random): number {
  for (;;) {
    bits.setUint32(0, random.bits());
    bits.setUint32(4, random.bits());
    const value = bits.getFloat64(0);
    if (Number.isFinite(value)) return value;
  }
}

const characters = [
  ...['a', 'b', 'Z', '0', '9', ' ', '/', '"', '\\', '\n', '\t', '\0', '\b', '\f', '\r', '\u001f'],
  ...['\u007f', '\u0080', 'é', 'ß', '\u2028', '\u2029', '\ud7ff', '\ue000', '\ufeff', '\ufffd'],
  ...['\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}', '\ud800', '\udbff', '\udc00', '\udfff'],
];
const integerLike = ['0', '1', '2', '10', '9', '01', '-1', '4294967294', '4294967295', '1e3'];

function text(random: Random): string {
  let made = '';
  for (let n = random.below(8); n > 0; n -= 1) made += random.pick(characters);
  return made;
}

/**
 * JSON.parse of V8 13.6 and later: after the key `\\` alone it returns that key for other keys of
 * one escape. See https://github.com/nodejs/node/issues/63785. Texts compared with it here have no
 * such key.
 */
const parseConfusesKeys = Number(process.versions.v8.split('.')[0]) >= 13;

function key(random: Random): string {
  const made = anyKey(random);
  return parseConfusesKeys && made === '\\' ? 'backslash' : made;
}

function anyKey(random: Random): string {
  const kind = random.below(10);
  if (kind < 3) return random.pick(integerLike);
  if (kind === 3) return random.pick(['__proto__', 'constructor', 'toString', 'eventId', '']);
  return text(random);
}

function value(random: Random, depth: number): unknown {
  const kind = random.below(depth > 0 ? 12 : 7);
  if (kind === 0) return random.pick([true, false, null]);
  if (kind === 1) return random.below(2 ** 31) - 2 ** 30;
  if (kind === 2) {
    return random.pick([0, -0, 1e20, 1e21, 1e-6, 1e-7, 2 ** 53, 2 ** 53 + 2, 5e-324, 0.1, -1.5]);
  }
  if (kind < 5) return double(random);
  if (kind < 7) return text(random);
  if (kind < 9) return Array.from({ length: random.below(4) }, () => value(random, depth - 1));
  return object(random, depth);
}

function object(random: Random, depth: number): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (let n = random.below(6); n > 0; n -= 1) {
    Object.defineProperty(made, key(random), {
      value: value(random, depth - 1),
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return made;
}

/** The text of a value as other writers may spell it: white space, escapes, numbers their way. */
function foreignText(random: Random, from: unknown): string {
  const space = () => random.pick(['', '', '', ' ', '\t', '\r', '  ']);
  if (typeof from === 'string') {
    let made = '"';
    for (let i = 0; i < from.length; i += 1) {
      const unit = from.charCodeAt(i);
      const hex = unit.toString(16).padStart(4, '0');
      const plain = unit >= 0x20 && unit !== 0x22 && unit !== 0x5c;
      const surrogate = unit >= 0xd800 && unit <= 0xdfff;
      if (from[i] === '/' && random.below(2) === 0) made += '\\/';
      else if (plain && !surrogate && random.below(4) > 0) made += from[i];
      else made += `\\u${random.below(2) === 0 ? hex : hex.toUpperCase()}`;
    }
    return `${made}"`;
  }
  if (typeof from === 'number') {
    const spelt = [JSON.stringify(from), from.toExponential(), from.toExponential().toUpperCase()];
    if (Object.is(from, -0)) spelt.push('-0', '-0.0', '-0e5');
    if (Number.isInteger(from) && Math.abs(from) < 1e15) spelt.push(`${from}.0`, `${from}e0`);
    return random.pick(spelt);
  }
  if (Array.isArray(from)) {
    const items = from.map((item) => `${space()}${foreignText(random, item)}${space()}`);
    return `[${items.join(',') || space()}]`;
  }
  if (typeof from === 'object' && from !== null) {
    const members = Object.entries(from).map(
      ([name, item]) =>
        `${space()}${foreignText(random, name)}${space()}:${space()}${foreignText(random, item)}`,
    );
    // Of equal keys the last counts.
    if (members.length > 0 && random.below(5) === 0) members.unshift(random.pick(members));
    return `{${members.join(',') || space()}}`;
  }
  return JSON.stringify(from);
}

describe('the canonical form', () => {
  it('agrees with an independent RFC 8785 implementation on 100,000 values', () => {
    const random = new Random();
    for (let n = 0; n < 100_000; n += 1) {
      const made = JSON.stringify(value(random, 4));
      const expected = canonicalize(JSON.parse(made));
      if (canonical(made) !== expected) {
        expect(canonical(made), `seed ${random.seed}, value ${n}: ${made}`).toBe(expected);
      }
    }
  });

  it('agrees with it on 100,000 numbers of random bits', () => {
    const random = new Random();
    const numbers = Array.from({ length: 100_000 }, () => double(random));
    const made = JSON.stringify(numbers);
    // Numbers have one spelling, so the text is its own canonical form.
    expect(canonical(made) === made, `seed ${random.seed}`).toBe(true);
    const spelt = `[${numbers.map((number) => number.toExponential(20)).join(' , ')}]`;
    const expected = JSON.stringify(JSON.parse(spelt));
    expect(canonical(spelt) === expected, `seed ${random.seed}`).toBe(true);
  });

  it('is the same for every spelling of a value', () => {
    const random = new Random();
    for (let n = 0; n < 30_000; n += 1) {
      const spelt = foreignText(random, value(random, 3));
      const expected = canonicalize(JSON.parse(spelt));
      if (canonical(spelt) !== expected) {
        expect(canonical(spelt), `seed ${random.seed}, value ${n}: ${spelt}`).toBe(expected);
      }
    }
  });

  it('has keys that are one escape as they are', () => {
    expect(canonical('{"\\u005c":1,"\\t":2,"\\"":3}')).toBe('{"\\t":2,"\\"":3,"\\\\":1}');
  });

  it('writes a number that overflows as JSON.stringify does', () => {
    expect(canonical('{"b":1e400,"a":-1e400}')).toBe('{"a":null,"b":null}');
  });

  it('is its own canonical form, and holds at a nesting of 200', () => {
    const random = new Random();
    for (let n = 0; n < 300; n += 1) {
      let nested: unknown = value(random, 2);
      for (let depth = 0; depth < 200; depth += 1) {
        nested = random.below(2) === 0 ? [nested, depth] : { z: depth, [key(random)]: nested };
      }
      const made = canonical(JSON.stringify(nested));
      expect(made === canonicalize(JSON.parse(JSON.stringify(nested)))).toBe(true);
      expect(canonical(made) === made, `seed ${random.seed}, value ${n}`).toBe(true);
    }
  });

  it('gives the ids of 10,000 events', async () => {
    const random = new Random();
    const events = Array.from({ length: 10_000 }, () => object(random, 3));
    const ids = await computeEventIds(events);
    for (const [n, made] of events.entries()) {
      const { eventId: _, ...rest } = JSON.parse(JSON.stringify(made));
      const expected = sha256(canonicalize(rest)!);
      if (ids[n] !== expected) {
        expect(ids[n], `seed ${random.seed}: ${JSON.stringify(made)}`).toBe(expected);
      }
    }
  });
});
