// The subpath `testing`: a chronicle for tests, and matchers.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import * as testing from '../testing.mjs';
import { event, expectCode, folder, rejection, thrown } from './support.js';

const { makeChronicle } = testing;
const root = fileURLToPath(new URL('..', import.meta.url));
const cjs = createRequire(import.meta.url)('../testing.js');

interface Matchers<R> {
  toContainEvent(pattern: object): R;
  toHaltOnContradiction(): R;
  toMaintainCausalChain(): R;
  toReconcileChanges(filePath?: string): R;
  toStampUnsafe(planId?: string): R;
}
declare module 'vitest' {
  interface Assertion<T = any> extends Matchers<T> {}
}
expect.extend(testing.matchers);

/** A chronicle that is cleared when the test ends. */
const open: testing.TestChronicle[] = [];
afterEach(() => {
  for (const chronicle of open.splice(0)) chronicle.clear();
});
function fresh(options?: Parameters<typeof makeChronicle>[0]): testing.TestChronicle {
  const chronicle = makeChronicle(options);
  open.push(chronicle);
  return chronicle;
}

describe('the subpath', () => {
  it('has the same names by require and by import, under the name of the package', () => {
    expect(Object.keys(cjs).sort()).toEqual(Object.keys(testing).sort());
    for (const [name, value] of Object.entries(testing)) expect(cjs[name], name).toBe(value);
    const script = `
      const cjs = require('@sage/chronicle/testing');
      import('@sage/chronicle/testing').then((esm) => {
        console.log(Object.keys(cjs).every((name) => cjs[name] === esm[name]), Object.keys(cjs).length);
      });`;
    const out = execFileSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8' });
    expect(out.trim()).toBe(`true ${Object.keys(cjs).length}`);
  });
});

describe('makeChronicle', () => {
  it('needs a type and nothing else, and says so with the code', async () => {
    const chronicle = fresh({ clock: { now: () => '2025-08-28T12:00:00.000Z' } });
    await chronicle.append('test.sage', { type: 'TEST_EVENT', data: 'test' });
    expect(await chronicle.read('test.sage')).toEqual([
      {
        type: 'TEST_EVENT',
        eventId: expect.stringMatching(/^[0-9a-f]{64}$/),
        data: 'test',
        timestamp: '2025-08-28T12:00:00.000Z',
      },
    ]);
    const untyped = chronicle.append('test.sage', { data: 'test' } as never);
    await expect(untyped).rejects.toThrow(/^EVALIDATION/);
  });

  it('keeps an event with a given id once', async () => {
    const chronicle = fresh();
    for (const data of [1, 2, 2])
      await chronicle.append('a.sage', { type: 'X', eventId: 'id', data });
    await chronicle.append('a.sage', { type: 'Y' });
    await chronicle.append('a.sage', { type: 'X', eventId: 'id', data: 3 });
    expect(await chronicle.read('a.sage')).toMatchObject([{ type: 'X', data: 1 }, { type: 'Y' }]);
    expect(chronicle.getEventCount('a.sage')).toBe(2);
  });

  it('writes where no path points to, and nothing before the first append', async () => {
    const chronicle = fresh();
    const absolute = join(folder(), 'log.sage');
    expect(await chronicle.read('nowhere.sage')).toEqual([]);
    await chronicle.append(absolute, { type: 'X' });
    await chronicle.append('here.sage', { type: 'X' });
    expect(existsSync(absolute)).toBe(false);
    expect(existsSync(resolve('here.sage'))).toBe(false);
    expect(await chronicle.read(absolute)).toHaveLength(1);
    expect(await chronicle.read(resolve('here.sage'))).toHaveLength(1);
    expect(await fresh().read('here.sage')).toEqual([]);
  });

  it('knows its paths and how many events they have', async () => {
    const chronicle = fresh();
    expect(chronicle.getAllPaths()).toEqual([]);
    await chronicle.append('b.sage', { type: 'X' });
    await chronicle.append('a.sage', { type: 'X' });
    await chronicle.append('./b.sage', { type: 'Y' });
    await rejection(chronicle.append('c.sage', {} as never));
    expect(chronicle.getAllPaths()).toEqual(['b.sage', 'a.sage']);
    const counts = ['b.sage', 'a.sage', 'c.sage'].map((path) => chronicle.getEventCount(path));
    expect(counts).toEqual([2, 1, 0]);
    expect(chronicle.getEventCount(5 as never)).toBe(0);
  });

  it('finds events by fields that are the same', async () => {
    const chronicle = fresh();
    await chronicle.append('a.sage', { type: 'X', n: 1, deep: {} });
    await chronicle.append('a.sage', { type: 'X', n: 2, deep: {} });
    const numbers = async (partial: object) =>
      (await chronicle.findEvents<{ n: number }>('a.sage', { ...partial })).map(({ n }) => n);
    expect(await numbers({ type: 'X' })).toEqual([1, 2]);
    expect(await numbers({ type: 'X', n: 2 })).toEqual([2]);
    expect(await numbers({ n: '2' })).toEqual([]);
    expect(await numbers({ deep: {} })).toEqual([]);
    expect(await numbers({})).toEqual([1, 2]);
  });

  it('gives events one after the other from a place on', async () => {
    const chronicle = fresh();
    for (let n = 0; n < 4; n += 1) await chronicle.append('a.sage', { type: 'X', n });
    const from = async (place?: number) => {
      const seen = [];
      for await (const { n } of chronicle.tail<{ n: number }>('a.sage', place)) seen.push(n);
      return seen;
    };
    expect(await from()).toEqual([0, 1, 2, 3]);
    expect(await from(2)).toEqual([2, 3]);
    expect(await from(9)).toEqual([]);
    for (const place of [-1, 0.5, NaN, '1']) {
      const error = await rejection(from(place as number));
      expect(expectCode(error, 'EVALIDATION').message).toMatch(/^EVALIDATION: /);
    }
  });

  it('is empty after clear, and may be used again', async () => {
    const chronicle = fresh();
    await chronicle.append('a.sage', { type: 'X', eventId: 'id' });
    chronicle.clear();
    expect(chronicle.getAllPaths()).toEqual([]);
    expect(chronicle.getEventCount('a.sage')).toBe(0);
    expect(await chronicle.read('a.sage')).toEqual([]);
    await chronicle.append('a.sage', { type: 'X', eventId: 'id' });
    expect(await chronicle.read('a.sage')).toHaveLength(1);
  });

  it('keeps its chronicles in the given folder, and removes those with appends', async () => {
    const base = folder();
    writeFileSync(join(base, 'other.sage'), '');
    writeFileSync(join(base, 'old.sage'), '{"n":1}\n{"n":2}\n');
    const chronicle = fresh({ baseDir: base });
    expect(await chronicle.read('old.sage')).toHaveLength(2);
    await chronicle.append('old.sage', { type: 'X' });
    await chronicle.append('new.sage', { type: 'X' });
    expect(readdirSync(base).sort()).toEqual(['new.sage', 'old.sage', 'other.sage']);
    expect(chronicle.getEventCount('old.sage')).toBe(3);
    chronicle.clear();
    expect(readdirSync(base)).toEqual(['other.sage']);
  });

  it('takes paths and options as an adapter does', async () => {
    expectCode(await rejection(fresh().append('a.txt', { type: 'X' })), 'EVALIDATION');
    expectCode(await rejection(fresh().read('../a.sage')), 'EVALIDATION');
    const any = fresh({ anyExtension: true });
    await any.append('.sage/plans', { type: 'X' });
    expect(await any.read('.sage/plans')).toHaveLength(1);
    for (const options of [null, { clock: 5 }, { dir: 'x' }]) {
      expectCode(
        thrown(() => makeChronicle(options as never)),
        'EVALIDATION',
      );
    }
  });

  it('touches no disk', () => {
    const script = `
      const { makeChronicle } = require(process.argv[1]);
      (async () => {
        const chronicle = makeChronicle();
        await chronicle.append('deep/a.sage', { type: 'X' });
        console.log((await chronicle.read('deep/a.sage')).length);
      })();`;
    const [cwd, temporary] = [folder(), folder()];
    const options = { cwd, encoding: 'utf8', env: { ...process.env, TMPDIR: temporary } } as const;
    const file = join(root, 'testing.js');
    const out = execFileSync(process.execPath, ['-e', script, file], options);
    expect(out.trim()).toBe('1');
    expect([...readdirSync(cwd), ...readdirSync(temporary)]).toEqual([]);
  });
});

const at = (minute: number) => `2025-01-01T00:0${minute}:00Z`;
const a = { type: 'A', eventId: 'a', timestamp: at(0) };
const b = { type: 'B', eventId: 'b', timestamp: at(1), prevEventId: 'a' };
const c = { type: 'C', eventId: 'c', timestamp: at(2), prevEventId: 'b' };
const foreign = [null, 5, 'x', {}, { actor: null }];
const edit = (filePath: string) => ({ type: 'ROGUE_EDIT_DETECTED', filePath });
const mend = (filePath: string) => ({ type: 'RECONCILIATION', filePath });

type Case = [name: keyof typeof testing.matchers, events: unknown[], pass: boolean, ...rest: any[]];
/** The last element is what the message must have. */
const cases: Case[] = [
  ['toContainEvent', [a, b], true, { type: 'B' }, 'Found matching event'],
  ['toContainEvent', [a, b], true, { type: 'B', eventId: 'b' }, '"prevEventId": "a"'],
  ['toContainEvent', [a, b], true, {}, 'Found matching event'],
  ['toContainEvent', [event()], true, { actor: { agent: 'tester' } }, 'Found matching event'],
  ['toContainEvent', [event()], true, { actor: undefined }, 'Found matching event'],
  ['toContainEvent', [event()], false, { actor: { agent: 'tester', id: 'two' } }, '"id": "two"'],
  ['toContainEvent', [a, ...foreign], false, { actor: { agent: 'x' } }, 'Expected to find event'],
  ['toContainEvent', [a, b], false, { type: 'B', eventId: 'a' }, 'Expected to find event matching'],
  ['toContainEvent', [{ n: 1 }], false, { n: '1' }, 'Expected to find event'],
  ['toContainEvent', [{ type: 'A', list: [1] }], true, { list: [1] }, 'Found matching event'],
  ['toContainEvent', [{ type: 'A', list: [1] }], false, { list: [2] }, 'In events'],
  ['toContainEvent', [{ args: { path: 'x' } }], true, { args: { path: 'x' } }, 'Found matching'],
  ['toContainEvent', [{ args: { path: 'x', n: 1 } }], false, { args: { path: 'x' } }, 'Expected'],
  ['toContainEvent', [], false, { type: 'A' }, '"type": "A"'],

  ['toMaintainCausalChain', [a, b, c], true, 'Causal chain properly maintained across 3 events'],
  ['toMaintainCausalChain', [], true, 'across 0 events'],
  ['toMaintainCausalChain', [b, c], true, 'properly maintained'],
  ['toMaintainCausalChain', foreign, true, 'properly maintained'],
  ['toMaintainCausalChain', [a, a], false, 'Found duplicate eventIds'],
  ['toMaintainCausalChain', [a, c], false, 'incorrect prevEventId reference (b != a)'],
  ['toMaintainCausalChain', [{ timestamp: at(2) }, { timestamp: at(1) }], false, 'earlier than'],
  ['toMaintainCausalChain', [{ timestamp: 2 }, { timestamp: 1 }], false, 'earlier than previous'],
  ['toMaintainCausalChain', [{ timestamp: at(2) }, {}, { timestamp: at(1) }], true, 'maintained'],
  [
    'toMaintainCausalChain',
    [{ timestamp: '2025-01-01T01:00:00+01:00' }, { timestamp: '2025-01-01T00:00:00Z' }],
    true,
    'maintained',
  ],

  ['toHaltOnContradiction', [a, { type: 'HALT_AND_REPORT', invariant: 'one' }], true, ': one'],
  [
    'toHaltOnContradiction',
    [a, ...foreign],
    false,
    'Expected HALT_AND_REPORT event but none found',
  ],

  ['toStampUnsafe', [{ type: 'PLAN_UNSAFE', planId: 'p' }], true, 'p', 'Plan p properly stamped'],
  ['toStampUnsafe', [{ type: 'PLAN_UNSAFE', planId: 'q' }], false, 'p', 'Plan p not stamped'],
  ['toStampUnsafe', [{ type: 'PLAN_DENIED', planId: 'p' }], false, 'p', 'Plan p not stamped'],
  ['toStampUnsafe', [{ type: 'PLAN_UNSAFE' }], true, undefined, 'Found 1 unsafe plan stamp'],
  ['toStampUnsafe', [a, ...foreign], false, undefined, 'No PLAN_UNSAFE events found'],

  [
    'toReconcileChanges',
    [edit('x'), mend('x')],
    true,
    'x',
    'File x properly reconciled after rogue',
  ],
  [
    'toReconcileChanges',
    [mend('x'), edit('x')],
    false,
    'x',
    'Reconciliation event occurred before',
  ],
  ['toReconcileChanges', [edit('x'), mend('y')], false, 'x', 'Missing reconciliation flow for x'],
  ['toReconcileChanges', [mend('x')], false, 'x', 'Missing reconciliation flow for x'],
  ['toReconcileChanges', [edit('x'), mend('x')], true, undefined, 'Reconciled after every'],
  ['toReconcileChanges', [edit('x'), edit('y'), mend('x')], false, undefined, 'flow for y'],
  [
    'toReconcileChanges',
    [edit('x'), ...foreign],
    false,
    undefined,
    'No reconciliation events found',
  ],
];

describe('the matchers', () => {
  it.each(cases)('%s of %j is %s', (name, events, pass, ...rest) => {
    const message = rest.pop() as string;
    const matcher = testing[name] as (...given: unknown[]) => testing.MatcherResult;
    const verdict = matcher(events, ...rest);
    expect(verdict.pass, verdict.message()).toBe(pass);
    expect(verdict.message()).toContain(message);
    expect(testing.matchers[name]).toBe(testing[name]);

    // `not` changes the expectation that it is taken from.
    const positive = () => expect(events) as any;
    const negative = () => expect(events).not as any;
    expect(() => (pass ? negative : positive)()[name](...rest)).toThrow(message);
    (pass ? positive : negative)()[name](...rest);
  });

  it('refuse what is no list of events', () => {
    for (const matcher of Object.values(testing.matchers)) {
      const loose = matcher as (...given: unknown[]) => unknown;
      for (const value of [undefined, null, {}, 'x']) {
        expectCode(
          thrown(() => loose(value, {})),
          'EVALIDATION',
        );
      }
    }
    expectCode(
      thrown(() => testing.toContainEvent([], null as never)),
      'EVALIDATION',
    );
  });

  it('take asymmetric matchers, at any depth', () => {
    const events = [{ type: 'CALL', args: { path: 'x', n: 1 }, actor: { agent: 'a', id: '7' } }];
    expect(events).toContainEvent({ type: expect.stringMatching(/^C/), args: expect.anything() });
    expect(events).toContainEvent({ args: { path: expect.any(String), n: 1 } });
    expect(events).toContainEvent({ args: expect.objectContaining({ path: 'x' }) });
    expect(events).toContainEvent({ actor: { id: expect.stringContaining('7') } });
    expect(events).not.toContainEvent({ args: { path: expect.any(Number), n: 1 } });
    expect(testing.toContainEvent(events, { type: expect.any(String) }).pass).toBe(true);
  });

  it('show how the nearest event differs', () => {
    const events = [a, { type: 'CALL', tool: 'bash', args: { path: 'x' } }, b];
    const { message } = thrown(() =>
      expect(events).toContainEvent({ type: 'CALL', tool: 'bash', args: { path: 'y' } }),
    );
    expect(message).toContain('Nearest of 3 events, at index 1');
    // The runner's own diff, line by line.
    expect(message).toMatch(/-\s+"path": "y"/);
    expect(message).toMatch(/\+\s+"path": "x"/);
    const many = Array.from({ length: 50 }, () => a);
    expect(testing.toContainEvent(many, { type: 'NONE' }).message()).toContain('and 30 more');
  });

  it('match what a chronicle for tests gives', async () => {
    const chronicle = fresh();
    await chronicle.append('a.sage', { type: 'PLAN_UNSAFE', planId: 'p' });
    const events = await chronicle.read('a.sage');
    expect(events).toContainEvent({ planId: 'p' });
    expect(events).toStampUnsafe('p');
    expect(events).toMaintainCausalChain();
    expect(events).not.toHaltOnContradiction();
    expect(events).not.toReconcileChanges();
  });
});
