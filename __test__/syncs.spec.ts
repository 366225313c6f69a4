import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Driven } from './driven';
import { note, scratchFolder } from './scratch';
import { mayTrace } from './strace';

const scratch = scratchFolder();
const traceable = mayTrace('which files are synced');

/** A process whose calls strace writes down with the files that they are about. */
class Watched extends Driven {
  readonly #log: string;

  constructor(calls: string) {
    const log = scratch.path('trace');
    super(['strace', '-f', '--seccomp-bpf', '-qq', '-y', '-o', log, '-e', `trace=${calls}`]);
    this.#log = log;
  }

  /** The calls so far, without the number of their thread. */
  get calls(): string[] {
    return readFileSync(this.#log, 'utf8')
      .split('\n')
      .map((line) => line.replace(/^\d+ +/, ''));
  }
}

describe.skipIf(!traceable)('which files are synced', () => {
  it('directories that were made, from the top down, and that of the log, before the first receipt', async () => {
    const folder = realpathSync(scratch.folder());
    const [a, b] = [join(folder, 'a'), join(folder, 'a', 'b')];
    const path = join(b, 'log.sage');
    const maker = new Watched('mkdir,mkdirat,fsync');
    await maker.value('append', path, note('one'));
    const made = (name: string) =>
      maker.calls.findIndex((call) => /^mkdir/.test(call) && call.includes(`"${name}"`));
    const synced = (name: string, from: number) =>
      maker.calls.findIndex(
        (call, at) => at > from && /^fsync\(\d+<(.*?)>/.exec(call)?.[1] === name,
      );
    expect(made(a)).toBeGreaterThanOrEqual(0);
    expect(synced(folder, made(a))).toBeGreaterThan(made(a));
    expect(made(b)).toBeGreaterThan(synced(folder, made(a)));
    expect(synced(a, made(b))).toBeGreaterThan(made(b));
    expect(synced(b, synced(a, made(b)))).toBeGreaterThan(synced(a, made(b)));
    await maker.end();
  }, 60_000);

  it('directories: also that of a log that another program made', async () => {
    const folder = realpathSync(scratch.folder());
    const path = join(folder, 'log.sage');
    const maker = new Driven();
    await maker.value('append', path, note('one'));
    const other = new Watched('fsync');
    await other.value('append', path, note('two'));
    expect(other.calls.filter((call) => call.includes(`<${folder}>`)).length).toBeGreaterThan(0);
    await Promise.all([maker.end(), other.end()]);
  }, 60_000);

  it('the log, before its side index is made from what the disk holds', async () => {
    const path = join(realpathSync(scratch.folder()), 'log.sage');
    const watched = new Watched('fdatasync,fadvise64,pread64,rename');
    const text = 'x'.repeat(10_000);
    const events = Array.from({ length: 130 }, (_, n) => note(`m:${n}`, { text }));
    await watched.value('appendEvents', path, events);
    const isPlaced = (call: string) => call.startsWith('rename(') && call.includes('-index');
    while (!watched.calls.some(isPlaced)) await turn();
    const { calls } = watched;
    const dropped = calls.findIndex((call) => /^fadvise64\(\d+<.*>, 0, [1-9]\d{6,},/.test(call));
    expect(dropped, 'nothing was dropped from the cache').toBeGreaterThanOrEqual(0);
    const descriptor = /\((\d+)</.exec(calls[dropped] ?? '')?.[1];
    const of = (name: string) => (call: string) =>
      call.startsWith(`${name}(${descriptor}<${path}>`);
    expect(calls.slice(0, dropped).some(of('fdatasync'))).toBe(true);
    expect(calls.slice(dropped).some(of('pread64'))).toBe(true);
    await watched.end();
  }, 60_000);

  it('the blocks of a run of a side index, before its header says that they are there', async () => {
    const path = join(realpathSync(scratch.folder()), 'log.sage');
    writeFileSync(path, `{"text":"${'x'.repeat(1 << 20)}"}\n`.repeat(24));
    // The word of a process that came to no index.
    writeFileSync(join(dirname(path), '.log.sage.chronicle-index-new'), '');
    const watched = new Watched('fdatasync,write,pwrite64');
    // The table is made before this append, and a run behind the next.
    await watched.value('append', path, note('first'));
    const made = watched.calls.length;
    const text = 'x'.repeat(10_000);
    const events = Array.from({ length: 250 }, (_, n) => note(`m:${n}`, { text }));
    await watched.value('appendEvents', path, events);
    const of = (name: string) => (call: string) =>
      call.startsWith(`${name}(`) && call.includes('.chronicle-index>');
    while (!watched.calls.some(of('pwrite64'))) await turn();
    const calls = watched.calls.slice(made);
    const header = calls.findIndex(of('pwrite64'));
    expect(calls[header]).toContain('"SAGECHIX');
    expect(calls.findIndex(of('write'))).toBeGreaterThanOrEqual(0);
    expect(calls.findLastIndex(of('write'))).toBeLessThan(calls.findIndex(of('fdatasync')));
    expect(calls.findIndex(of('fdatasync'))).toBeLessThan(header);
    await watched.end();
  }, 60_000);

  it('the lines that a repair moves out, before the log is replaced', async () => {
    const path = join(realpathSync(scratch.folder()), 'log.sage');
    writeFileSync(path, '{"a":1}\nbad\n');
    const watched = new Watched('fsync,rename,renameat2');
    expect(await watched.value('repairChronicle', path)).toMatchObject({ repaired: true });
    const { calls } = watched;
    const synced = calls.findIndex((call) => /^fsync\(\d+<.*\.removed\.\d+>/.test(call));
    expect(synced).toBeGreaterThanOrEqual(0);
    expect(calls.findIndex((call) => call.startsWith('rename'))).toBeGreaterThan(synced);
    await watched.end();
  }, 60_000);
});
