// What the rest of a process does to all objects, timers and contexts is no business of the
// package.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { folder } from './support';

const program = fileURLToPath(new URL('./realm-process.cjs', import.meta.url));

/** Runs one part of the program beside this file in a process of its own. Returns the output. */
function run(part: string, ...args: string[]): any {
  const given = ['--expose-gc', program, part, folder(), ...args];
  const text = execFileSync(process.execPath, given, { encoding: 'utf8', timeout: 60_000 });
  return JSON.parse(text);
}

describe('names that every object has', () => {
  it('are neither options nor parts of results', () => {
    const { names, different } = run('prototype');
    expect(names).toBeGreaterThan(40);
    expect(different).toEqual([]);
  });

  it('may be options of a class', () => {
    expect(run('inherited')).toEqual({ own: 1, ofClass: 1 });
  });

  it('a toJSON of all objects and arrays changes no option, place or cursor', () => {
    expect(run('toJSON')).toEqual({ different: [] });
  });
});

describe('fake timers', () => {
  it('of a test runner do not make a read, a follow, a check or a hash wait', () => {
    for (const order of ['before', 'after']) {
      const { fakes, ...seen } = run('timers', order);
      expect(fakes).toBeGreaterThan(0);
      expect(seen).toEqual({ read: 20_000, streamed: 20_000, ok: true, ids: 20_000, hash: 64 });
    }
  });

  it('a later turn is a turn of the event loop, and an idle one keeps no process alive', () => {
    const { turns, loops } = run('turns');
    expect(turns).toBe(100);
    expect(loops).toBeGreaterThanOrEqual(90);
  });
});

describe('asynchronous contexts', () => {
  it('the first call does not own what all later ones use', () => {
    expect(run('context')).toEqual({ batches: 2, stores: [], collected: true });
  });
});
