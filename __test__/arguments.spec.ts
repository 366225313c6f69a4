// Every wrong argument gives the contract's code: as a rejection where a promise is promised, and
// as an exception from the synchronous functions. Nothing is touched.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import * as chronicle from '../index.mjs';
import { event, expectCode, folder, freshPath, rejection, thrown } from './support.js';

type Loose = (...given: unknown[]) => unknown;
const face = chronicle as unknown as Record<string, Loose>;

const asynchronous = [
  'append',
  'appendEvent',
  'appendEventWithId',
  'appendEvents',
  'readChronicle',
  'tailChronicle',
];
const appending = ['append', 'appendEvent', 'appendEventWithId', 'appendEvents', 'appendEventSync'];

/** Calls a function and gives its error, however it comes; the way it comes is checked. */
async function errorOf(name: string, ...given: unknown[]): Promise<any> {
  if (!asynchronous.includes(name) && !/^(compute|verifyEvent)/.test(name)) {
    return thrown(() => face[name]!(...given));
  }
  let answer: unknown;
  try {
    answer = face[name]!(...given);
  } catch (error) {
    return expect.fail(`${name} threw synchronously: ${String(error)}`);
  }
  expect(answer, `${name} gives a promise`).toBeInstanceOf(Promise);
  return rejection(answer as Promise<unknown>);
}

async function expectInvalid(name: string, ...given: unknown[]) {
  const shown = `${name}(${given.map((value) => inspect(value).slice(0, 80)).join(', ')})`;
  const error = await errorOf(name, ...given);
  expect(error?.code, `${shown} gave ${inspect(error)}`).toBe('EVALIDATION');
  return expectCode(error, 'EVALIDATION');
}

/** The arguments of a function that are right, behind the path. */
function rightArguments(name: string): unknown[] {
  if (name === 'appendEvents') return [[event({ n: 1 }), event({ n: 2 })]];
  if (appending.includes(name)) return [event({ eventId: 'given' })];
  if (name === 'tailChronicle') return [10];
  return [];
}

const hostile = {
  get computeId(): boolean {
    throw new Error('getter');
  },
};

describe('paths', () => {
  const wrongTypes = [undefined, null, 0, 1n, true, {}, [], ['a.sage'], Symbol('s'), () => {}];
  const wrongPaths = ['', 'x', 'x.txt', 'x.sage/', 'x.SAGE', '..', '../x.sage', 'a/../x.sage'];
  const strange = ['a\0b.sage', 'lone\ud800.sage'];
  const urls = ['https://x/x.sage', 'file:///x.txt'].map((url) => new URL(url));
  const wrong = [...wrongTypes, ...wrongPaths, ...strange, ...urls];

  it.each([...asynchronous, 'appendEventSync', 'validateChroniclePath'])(
    'of %s that cannot name a chronicle are refused',
    async (name) => {
      for (const path of wrong) await expectInvalid(name, path, ...rightArguments(name));
    },
  );

  it('are refused in words that callers match', () => {
    const message = (path: string) => thrown(() => chronicle.validateChroniclePath(path)).message;
    expect(message('x.txt')).toContain('Chronicle path must end with .sage');
    expect(message('a/../x.sage')).toContain('Chronicle path cannot contain ..');
  });

  it('with two dots inside a name are paths like others', () => {
    for (const path of ['a..b.sage', './x.sage', '/x.sage', 'ü.sage', '.sage/warden.dev.sage']) {
      expect(chronicle.validateChroniclePath(path)).toBe(path);
    }
  });

  it('of any extension are taken where that is asked for, and never with ..', async () => {
    const any = { anyExtension: true };
    expect(chronicle.validateChroniclePath('x.ndjson', any)).toBe('x.ndjson');
    await expectInvalid('validateChroniclePath', '../x.ndjson', any);
    await expectInvalid('validateChroniclePath', '', any);
    const path = join(folder(), 'x.ndjson');
    await expectInvalid('append', path, event());
    await expectInvalid('append', path, event(), { anyExtension: false });
    await chronicle.append(path, event(), any);
    await expectInvalid('readChronicle', path);
    await expectInvalid('tailChronicle', path, 1);
    await expectInvalid('tailChronicle', path, 0);
    expect(await chronicle.readChronicle(path, any)).toHaveLength(1);
    expect(await chronicle.tailChronicle(path, 1, any)).toHaveLength(1);
    expect(await chronicle.tailChronicle(path, 0, any)).toEqual([]);
  });
});

describe('options', () => {
  it.each([...asynchronous, 'appendEventSync'])('of %s that are no object', async (name) => {
    const given = rightArguments(name);
    const path = freshPath();
    for (const options of [null, 'x', '', true, 1n, [], Symbol('s'), () => {}]) {
      await expectInvalid(name, path, ...given, options);
    }
    const numberIsTimeout = name === 'appendEvent' || name === 'appendEventWithId';
    const numbers = numberIsTimeout ? [-1, NaN, Infinity] : [0, 100];
    for (const number of numbers) await expectInvalid(name, path, ...given, number);
    expect(existsSync(path)).toBe(false);
  });

  it.each([...asynchronous, 'appendEventSync', 'validateChroniclePath'])(
    'of %s with an unknown name are refused by that name',
    async (name) => {
      const error = await expectInvalid(name, freshPath(), ...rightArguments(name), { retries: 3 });
      expect(error.message).toContain('retries');
    },
  );

  const notBooleans = [0, 1, 'true', null, {}];
  const notNames = ['', 0, null, {}, true, ['x']];
  const wrong: Record<string, unknown[]> = {
    lockTimeoutMs: [-1, -0.5, NaN, Infinity, -Infinity, '5', null, 5n, {}],
    computeId: notBooleans,
    idempotencyKey: notNames,
    chain: notBooleans,
    expectedTail: notNames.filter((value) => value !== null),
    onIdReuse: ['', 'ignore', 0, null, true],
    durability: ['', 'disk', 0, null, true],
    anyExtension: notBooleans,
  };
  const notSignals = [
    null,
    {},
    true,
    'x',
    new AbortController(),
    { aborted: false },
    { aborted: 'no', addEventListener() {}, removeEventListener() {} },
  ];

  it.each(appending)('of %s with a wrong value are refused by their name', async (name) => {
    const path = freshPath();
    for (const [option, values] of Object.entries(wrong)) {
      for (const value of values) {
        const error = await expectInvalid(name, path, ...rightArguments(name), { [option]: value });
        expect(error.message).toContain(option);
      }
    }
    const signals = name === 'appendEventSync' ? [new AbortController().signal] : notSignals;
    for (const signal of signals) {
      const error = await expectInvalid(name, path, ...rightArguments(name), { signal });
      expect(error.message).toContain('signal');
    }
    expect(existsSync(path)).toBe(false);
  });

  it.each(['readChronicle', 'tailChronicle'])('of %s with a wrong value', async (name) => {
    const values = {
      onBadLine: ['', 'warn', null, true, {}],
      positions: notBooleans,
      anyExtension: notBooleans,
      signal: notSignals,
    };
    for (const [option, wrongValues] of Object.entries(values)) {
      for (const value of wrongValues) {
        const options = { [option]: value };
        const error = await expectInvalid(name, freshPath(), ...rightArguments(name), options);
        expect(error.message).toContain(option);
      }
    }
  });

  it('that cannot be read are refused with what they threw', async () => {
    const path = freshPath();
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    for (const name of appending) {
      const error = await expectInvalid(name, path, ...rightArguments(name), hostile);
      expect((error.cause as Error).message).toBe('getter');
      await expectInvalid(name, path, ...rightArguments(name), revoked.proxy);
    }
  });

  it('that are undefined count as absent, and inherited ones count', async () => {
    const path = freshPath();
    const names = [...Object.keys(wrong), 'signal'];
    const absent = Object.fromEntries(names.map((name) => [name, undefined]));
    const receipt = await chronicle.append(path, event(), absent);
    expect(receipt.eventId).toMatch(/^[0-9a-f]{64}$/);
    const inherited = Object.create({ computeId: false });
    expect((await chronicle.append(path, event(), inherited)).eventId).toBeUndefined();
    const read = { onBadLine: undefined, positions: undefined, signal: undefined };
    expect(await chronicle.readChronicle(path, read)).toHaveLength(2);
  });

  it('of time may be fractional or as large as a number gets', async () => {
    const path = freshPath();
    for (const lockTimeoutMs of [0, 0.5, 1999.999, 2 ** 31, 2 ** 53, Number.MAX_VALUE]) {
      await chronicle.append(path, event({ lockTimeoutMs }), { lockTimeoutMs });
    }
    expect(await chronicle.readChronicle(path)).toHaveLength(6);
  });
});

const noObjects = [undefined, null, 0, NaN, 1n, 'x', '{"type":"X"}', true, [], [event()]];
const noEvents = [...noObjects, Symbol('s'), () => {}, new Date(0), new String('x')];

const cyclic: Record<string, unknown> = event();
cyclic.self = cyclic;
let deep: unknown = 0;
for (let i = 0; i < 5000; i += 1) deep = [deep];
let tooDeepForStringify: unknown = 0;
for (let i = 0; i < 200_000; i += 1) tooDeepForStringify = { a: tooDeepForStringify };

const unrepresentable: [string, unknown][] = [
  ['a BigInt', event({ n: 1n })],
  ['a cycle', cyclic],
  [
    'a getter that throws',
    {
      ...event(),
      __proto__: null,
      get bad() {
        throw new Error('bad');
      },
    },
  ],
  [
    'a toJSON that throws',
    event({
      bad: {
        toJSON() {
          throw new Error('bad');
        },
      },
    }),
  ],
  [
    'a toJSON that throws no error',
    event({
      bad: {
        toJSON() {
          throw 'bad';
        },
      },
    }),
  ],
  ['a toJSON that gives no object', { toJSON: () => 'text' }],
  ['a toJSON that gives nothing', { toJSON: () => undefined }],
  ['a nesting no stack has', event({ deep: tooDeepForStringify })],
];
/** Newer versions of Node.js write any nesting as JSON. No event may have this depth. */
const writesAnyDepth = (() => {
  try {
    return JSON.stringify(tooDeepForStringify) !== '';
  } catch {
    return false;
  }
})();
const isMerelyDeep = (what: string) => writesAnyDepth && what === 'a nesting no stack has';

describe('events', () => {
  it.each(appending)('of %s that are no objects', async (name) => {
    const path = freshPath();
    for (const value of noEvents) {
      const given = name === 'appendEvents' ? [event(), value] : value;
      const error = await expectInvalid(name, path, given);
      expect(error.index).toBe(name === 'appendEvents' ? 1 : undefined);
    }
    expect(existsSync(path)).toBe(false);
  });

  it.each(appending)('of %s that JSON cannot represent', async (name) => {
    const path = freshPath();
    for (const [what, value] of unrepresentable) {
      const given = name === 'appendEvents' ? [event(), value] : value;
      const error = await expectInvalid(name, path, given);
      expect(error.index, what).toBe(name === 'appendEvents' ? 1 : undefined);
      if (!what.includes('that gives') && !isMerelyDeep(what)) {
        expect(typeof (error.cause as Error).message, what).toBe('string');
      }
    }
    expect(existsSync(path)).toBe(false);
  });

  const wrongEnvelopes: [string, object][] = [
    ...['type', 'timestamp'].flatMap((field): [string, object][] =>
      [undefined, null, '', 0, {}, ['X']].map((value) => [field, event({ [field]: value })]),
    ),
    ...[undefined, null, 'me', [], {}, { agent: 'a' }, { id: 'b' }].map(
      (actor): [string, object] => ['actor', event({ actor })],
    ),
    ...['agent', 'id'].flatMap((field): [string, object][] =>
      [null, '', 0, {}].map((value) => [
        field,
        event({ actor: { agent: 'a', id: 'b', [field]: value } }),
      ]),
    ),
    ...['eventId', 'planHash', 'graphCommit', 'prevEventId', 'idempotencyKey'].flatMap(
      (field): [string, object][] =>
        [null, 0, {}, ['x']].map((value) => [field, event({ [field]: value })]),
    ),
    ['eventId', event({ eventId: '' })],
    ['idempotencyKey', event({ idempotencyKey: '' })],
    ...[null, 'x', {}, [1], ['x', null]].map((tags): [string, object] => ['tags', event({ tags })]),
    ['deep', event({ deep })],
  ];

  it('with a wrong envelope are refused by the name of the field', async () => {
    const path = freshPath();
    for (const [field, value] of wrongEnvelopes) {
      const error = await expectInvalid('append', path, value);
      if (field !== 'deep') expect(error.message, inspect(value)).toContain(field);
      expect(error.index, 'an event on its own has no place in a batch').toBeUndefined();
      const batch = await expectInvalid('appendEvents', path, [event(), event({ n: 1 }), value]);
      expect(batch.index, inspect(value)).toBe(2);
      await expectInvalid('appendEventSync', path, value);
    }
    expect(existsSync(path)).toBe(false);
    expect(await chronicle.readChronicle(path)).toEqual([]);
  });

  it('that are refused leave no file, one after the other on one path', async () => {
    const path = freshPath();
    for (let n = 0; n < 2000; n += 1) {
      await expectInvalid('append', path, event({ timestamp: '' }));
      await expectInvalid('appendEventSync', path, event({ timestamp: '' }));
      expect(existsSync(path), `after ${n}`).toBe(false);
    }
  });

  const payloads: Record<string, Record<string, unknown>> = {
    PLAN_DRAFTED: { planId: 'p', summary: 's', steps: [] },
    PLAN_APPROVED: { planId: 'p', reviewerId: 'r' },
    PLAN_DENIED: { planId: 'p', reviewerId: 'r' },
    ROGUE_EDIT_DETECTED: { filePath: 'f', hash: 'h' },
    FILE_ADDED: { filePath: 'f' },
    FILE_REMOVED: { filePath: 'f' },
    FILE_RENAMED: { oldPath: 'o', newPath: 'n' },
  };

  it.each(Object.keys(payloads))('of type %s want their payload', async (type) => {
    const path = freshPath();
    const right = { ...event(), type, ...payloads[type] };
    for (const field of Object.keys(payloads[type]!)) {
      for (const value of [undefined, null, '', 0, {}]) {
        const error = await expectInvalid('append', path, { ...right, [field]: value });
        expect(error.message).toContain(type);
        expect(error.message).toContain(field);
      }
    }
    expect(existsSync(path)).toBe(false);
    await chronicle.append(path, right);
  });

  it('of other types are taken without a payload', async () => {
    const path = freshPath();
    const types = ['PLAN_UNSAFE', 'HALT_AND_REPORT', 'BUILD', 'DEPLOY', 'FILE_SPLIT', 'WHATEVER'];
    for (const type of types) await face.append!(path, event({ type }));
    expect(await chronicle.readChronicle(path)).toHaveLength(types.length);
  });

  it('nest as deep as 1,000 and no deeper', async () => {
    const path = freshPath();
    const nested = (depth: number) => {
      let value: unknown = 0;
      for (let i = 1; i < depth; i += 1) value = [value];
      return event({ value });
    };
    await chronicle.append(path, nested(1000));
    await expectInvalid('append', path, nested(1001));
    expect(await chronicle.readChronicle(path)).toEqual([nested(1000)].map(withId));
    await expectInvalid('computeEventId', nested(1001));
    const error = await expectInvalid('computeEventIds', [nested(2), nested(3), nested(1001)]);
    expect(error.index).toBe(2);

    function withId(value: object) {
      return { ...value, eventId: expect.any(String) };
    }
  });

  it('have 64 MiB as a line and no byte more', async () => {
    const most = 64 * 1024 * 1024;
    const path = freshPath();
    const fill = (length: number) => event({ eventId: 'big', text: 'x'.repeat(length) });
    const rest = most - JSON.stringify(fill(0)).length;
    await expectInvalid('append', path, fill(rest + 1));
    expect(existsSync(path)).toBe(false);
    // Preparing so much may take a while on a busy machine.
    const patient = { lockTimeoutMs: 60_000 };
    const receipt = await chronicle.append(path, fill(rest), patient);
    expect(receipt).toMatchObject({ length: most, offset: 0 });
    expect(await chronicle.tailChronicle(path, 1)).toHaveLength(1);
  });

  it('of appendEvents come in an array', async () => {
    for (const value of [undefined, null, 0, 'x', {}, event(), new Set([event()]), () => {}]) {
      await expectInvalid('appendEvents', freshPath(), value);
      await expectInvalid('computeEventIds', value);
    }
    const sparse = new Array(2);
    sparse[0] = event();
    expect((await expectInvalid('appendEvents', freshPath(), sparse)).index).toBe(1);
    expect((await expectInvalid('computeEventIds', sparse)).index).toBe(1);
  });

  it('of appendEventWithId have an id', async () => {
    const path = freshPath();
    await expectInvalid('appendEventWithId', path, event());
    await expectInvalid('appendEventWithId', path, event({ eventId: '' }));
    await expectInvalid('appendEventWithId', path, event({ eventId: undefined }));
    expect(existsSync(path)).toBe(false);
  });

  it('of computeEventId, verifyEventId, serializeEvent and canonicalizeEvent', async () => {
    for (const value of noEvents) {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) continue;
      await expectInvalid('canonicalizeEvent', value);
    }
    const names = ['computeEventId', 'verifyEventId', 'serializeEvent'];
    const bad = unrepresentable.filter(([what]) => !isMerelyDeep(what)).map(([, value]) => value);
    for (const value of [...noEvents, ...bad]) {
      for (const name of names) await expectInvalid(name, value);
      expect((await expectInvalid('computeEventIds', [event(), value])).index).toBe(1);
    }
  });
});

describe('combinations', () => {
  it('that contradict each other are refused', async () => {
    const path = freshPath();
    await expectInvalid('append', path, event({ eventId: 'x' }), { chain: true });
    await expectInvalid('append', path, event({ prevEventId: 'x' }), { chain: true });
    await expectInvalid('append', path, event(), { chain: true, computeId: false });
    await expectInvalid('append', path, event({ idempotencyKey: 'a' }), { idempotencyKey: 'b' });
    const two = [event({ n: 1 }), event({ n: 2 })];
    await expectInvalid('appendEvents', path, two, { idempotencyKey: 'a' });
    expect(existsSync(path)).toBe(false);
  });
});

describe('counts of tailChronicle', () => {
  it('are non-negative integers', async () => {
    const path = freshPath();
    for (const n of [null, '5', '', {}, [], true, 5n, Symbol('s'), () => {}, NaN, Infinity, 0.5]) {
      await expectInvalid('tailChronicle', path, n);
    }
    for (const n of [-1, -0.5, -Infinity]) {
      const error = await expectInvalid('tailChronicle', path, n);
      expect(error.message).toContain('Tail count must be non-negative');
    }
    for (const n of [0, -0, 1, 2 ** 31, 2 ** 32, 2 ** 53, Number.MAX_VALUE, undefined]) {
      expect(await chronicle.tailChronicle(path, n)).toEqual([]);
    }
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });
});

describe('flushSync', () => {
  it('never throws, whatever it is given', () => {
    const wrong = [null, 0, 'x', [], {}, { timeoutMs: -1 }, { timeoutMs: 'x' }, { other: 1 }];
    const odd = [{ timeoutMs: Infinity }, { timeoutMs: 0 }, { timeoutMs: 1e300 }];
    for (const options of [undefined, ...wrong, ...odd, hostile]) {
      expect(face.flushSync!(options), inspect(options)).toBe(true);
    }
    expect(face.flushSync!()).toBe(true);
  });
});
