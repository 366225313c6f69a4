// What an append says that was refused before it reached the native part, and callers' objects that
// refuse to be looked at.
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as chronicle from '../index.mjs';
import { event, expectCode, freshPath, rejection, thrown } from './support.js';

type Loose = (...given: unknown[]) => unknown;
const face = chronicle as unknown as Record<string, Loose>;
const asynchronous = ['append', 'appendEvent', 'appendEventWithId', 'appendEvents'];
const appending = [...asynchronous, 'appendEventSync'];

const isProper = (name: string) => (name === 'appendEvents' ? [event()] : event({ eventId: 'x' }));
const asGiven = (name: string, value: unknown) => (name === 'appendEvents' ? [value] : value);

async function refusalOf(name: string, ...given: unknown[]): Promise<any> {
  if (name.endsWith('Sync')) return thrown(() => face[name]!(...given));
  return rejection(face[name]!(...given) as Promise<unknown>);
}

function revoked(target: object): any {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

const refuses = (field: string) =>
  Object.defineProperty({}, field, {
    enumerable: true,
    get() {
      throw new Error(`no ${field}`);
    },
  });

describe('a refused append', () => {
  it.each(appending)('of %s says that nothing was written', async (name) => {
    const path = freshPath();
    const cycle: Record<string, unknown> = event();
    cycle.self = cycle;
    const right = isProper(name);
    const refused: [string, unknown[]][] = [
      ['no path', [undefined, right]],
      ['a path of another kind', ['x.txt', right]],
      ['a path that is no Unicode', ['\ud800.sage', right]],
      ['no event', [path, asGiven(name, undefined)]],
      ['a BigInt', [path, asGiven(name, event({ n: 1n }))]],
      ['a cycle', [path, asGiven(name, cycle)]],
      ['no envelope', [path, asGiven(name, { eventId: 'x' })]],
      ['an unknown option', [path, right, { other: 1 }]],
      ['a wrong option', [path, right, { lockTimeoutMs: -1 }]],
      ['no options', [path, right, null]],
      ['options that cannot be read', [path, right, revoked({})]],
    ];
    for (const [what, given] of refused) {
      const error = expectCode(await refusalOf(name, ...given), 'EVALIDATION');
      const named = typeof given[0] === 'string' ? given[0] : undefined;
      expect({ written: error.written, path: error.path }, what).toEqual({
        written: 'no',
        path: named,
      });
    }
    expect(existsSync(path)).toBe(false);
  });

  it('of a batch says so for the rules of batches, too', async () => {
    const path = freshPath();
    const two = [event({ n: 1 }), event({ n: 2 })];
    for (const error of [
      await refusalOf('appendEvents', path, 'no array'),
      await refusalOf('appendEvents', path, two, { idempotencyKey: 'k' }),
      await refusalOf('appendEvents', 'x.txt', []),
    ]) {
      expect(expectCode(error, 'EVALIDATION').written).toBe('no');
      expect(error.path).toMatch(/\.(sage|txt)$/);
    }
  });

  it('of more than may be pending says so, with the path', async () => {
    const path = freshPath();
    const half = event({ text: 'x'.repeat(64 << 20) });
    const error = await refusalOf('appendEvents', path, Array(4).fill(half));
    expect(expectCode(error, 'EIO')).toMatchObject({
      written: 'no',
      path,
      cause: { code: 'ENOBUFS' },
    });
    expect(existsSync(path)).toBe(false);
  });
});

describe('a refused read or check', () => {
  it('names a bad path and says nothing of writing', async () => {
    for (const path of ['x.txt', 'a/../b.sage', '\ud800.sage']) {
      for (const name of ['readChronicle', 'tailChronicle']) {
        const error = expectCode(await refusalOf(name, path), 'EVALIDATION');
        expect(Object.keys(error).sort()).toEqual(['code', 'path']);
        expect(error.path).toBe(path);
      }
      const error = expectCode(
        thrown(() => chronicle.validateChroniclePath(path)),
        'EVALIDATION',
      );
      expect(Object.keys(error).sort()).toEqual(['code', 'path']);
    }
    expect('written' in (await refusalOf('computeEventId', undefined as never))).toBe(false);
    expect('written' in thrown(() => face.serializeEvent!(1n))).toBe(false);
  });
});

describe('what refuses to be looked at', () => {
  it.each(appending)('as an event of %s is refused with its cause', async (name) => {
    const path = freshPath();
    for (const value of [revoked({}), refuses('type'), event({ deep: revoked([]) })]) {
      const error = expectCode(await refusalOf(name, path, asGiven(name, value)), 'EVALIDATION');
      expect(error.cause).toBeInstanceOf(Error);
    }
    expect(existsSync(path)).toBe(false);
  });

  it.each(['appendEvents', 'computeEventIds'])('as the list of %s, too', async (name) => {
    const proxy = (trap: string) =>
      new Proxy([event()], {
        get(target, key) {
          if (key === trap) throw new Error(`no ${trap}`);
          return Reflect.get(target, key);
        },
      });
    for (const list of [revoked([]), proxy('length'), proxy('0')]) {
      const given = name === 'appendEvents' ? [freshPath(), list] : [list];
      const error = expectCode(await refusalOf(name, ...given), 'EVALIDATION');
      expect(error.cause).toBeInstanceOf(Error);
    }
    const sparse = name === 'appendEvents' ? [freshPath(), Array(2 ** 31)] : [Array(2 ** 31)];
    expect(expectCode(await refusalOf(name, ...sparse), 'EVALIDATION').index).toBe(0);
  });

  it('is refused by canonicalizeEvent', () => {
    for (const value of [revoked({}), refuses('type')]) {
      const error = thrown(() => chronicle.canonicalizeEvent(value));
      expect(expectCode(error, 'EVALIDATION').cause).toBeInstanceOf(Error);
    }
  });

  it('may be what a toJSON throws', async () => {
    for (const bad of [revoked({}), refuses('message'), null, Object.create(null)]) {
      const value = event({
        toJSON() {
          throw bad;
        },
      });
      const error = expectCode(await refusalOf('append', freshPath(), value), 'EVALIDATION');
      expect(typeof error.cause).toBe('object');
    }
  });
});

const refusing = (name: string): any => ({
  aborted: false,
  addEventListener() {},
  removeEventListener() {},
  [name]() {
    throw new TypeError('no');
  },
});

describe('what throws when it is looked at', () => {
  const hostile: any = new Proxy([], {
    get() {
      throw new TypeError('no');
    },
  });
  const issues = (result: object) => ({
    validate: { '~standard': { version: 1, vendor: 'test', validate: () => result } } as any,
  });

  it.each<[string, (path: string) => unknown]>([
    ['events to hash', () => chronicle.computeChronicleHash(hostile)],
    ['events to compare', () => chronicle.findDuplicateEvents(hostile)],
    ['events to filter', () => chronicle.filterEventsByType([refuses('type')] as any, 'X')],
    ['names of fields', () => chronicle.hasEventFields({}, hostile)],
    ['ids to look for', (path) => chronicle.batchCheckDuplicates(path, hostile)],
    [
      'the result of a schema',
      async (path) =>
        (await chronicle.openChronicle(path, issues(refuses('issues')))).append(event()),
    ],
    [
      'issues of a schema that are no list',
      async (path) => (await chronicle.openChronicle(path, issues({ issues: 5 }))).append(event()),
    ],
    ['a signal', (path) => chronicle.readChronicle(path, { signal: refusing('addEventListener') })],
  ])('gives an error of the package: %s', async (_, call) => {
    const error = await rejection((async () => call(freshPath()))());
    expectCode(error, 'EVALIDATION');
  });

  it('is a signal whose listener cannot be taken off: the read of a handle settles as it ended', async () => {
    const path = freshPath();
    await chronicle.append(path, event());
    const log = await chronicle.openChronicle(path);
    const signal = refusing('removeEventListener');
    expect(await log.query({}, { signal })).toHaveLength(1);
    expectCode(
      await rejection(log.query({}, { signal: refusing('addEventListener') })),
      'EVALIDATION',
    );
    await log.close();
  });
});
