import { createHash } from 'node:crypto';
import {
  chmodSync,
  readFileSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Driven } from './driven';
import { chronicle, note, scratchFolder } from './scratch';
import { mayTrace } from './strace';

const scratch = scratchFolder();
const traceable = mayTrace('how files are opened');

interface Call {
  name: string;
  text: string;
}

/** The calls in the order of their ends; those of a thread are put together again. */
function callsIn(trace: string): Call[] {
  const begun = new Map<string, string>();
  const calls: Call[] = [];
  for (const line of trace.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const end = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest);
    if (rest.endsWith(' <unfinished ...>')) {
      begun.set(thread, rest.slice(0, -' <unfinished ...>'.length));
      continue;
    }
    const text = end ? `${begun.get(thread)}${end[2]}` : rest;
    calls.push({ name: text.split('(', 1)[0] ?? '', text });
  }
  return calls;
}

/** A process whose opens and locks strace writes down. */
class Watched extends Driven {
  readonly #log: string;

  constructor(calls: string, inject: string[] = []) {
    const log = scratch.path('trace');
    const faults = inject.flatMap((fault) => ['-e', `inject=${fault}`]);
    const options = ['-f', '--seccomp-bpf', '-qq', '-o', log, '-e', `trace=${calls}`];
    super(['strace', ...options, ...faults]);
    this.#log = log;
  }

  get calls(): Call[] {
    return callsIn(readFileSync(this.#log, 'utf8'));
  }
}

/** Everything that opens a file of ours: appends, a session, the maker of an index, a repair. */
async function useAll(driven: Driven, path: string): Promise<void> {
  await driven.value('append', path, note('first'));
  const events = Array.from({ length: 130 }, (_, n) => note(`m:${n}`, { text: 'x'.repeat(9_000) }));
  await driven.value('appendEvents', path, events);
  const lock = await driven.value('lock', [path]);
  await driven.value('lockAppend', lock, path, note('locked'));
  await driven.value('unlock', lock);
}

describe.skipIf(!traceable)('how files are opened', () => {
  it('no file that is there is opened with the right to create it', async () => {
    const folder = realpathSync(scratch.folder());
    const path = join(folder, 'log.sage');
    const index = join(folder, '.log.sage.chronicle-index');
    await chronicle.append(path, note('before'));
    const lock = await chronicle.lockChronicles([path]);
    await lock.release();
    writeFileSync(`${index}-new`, '');
    const watched = new Watched('openat,rename');
    await useAll(watched, path);
    while (!watched.calls.some(({ text }) => text.startsWith('rename(') && text.includes(index)))
      await turn();
    const ours = watched.calls.filter(({ text }) => text.includes(`"${folder}/`));
    const opens = ours.filter(({ name }) => name === 'openat');
    for (const part of ['/log.sage"', '-lock"', '-index-new"']) {
      expect(opens.filter(({ text }) => text.includes(part)).length).toBeGreaterThan(0);
    }
    const creating = opens.filter(({ text }) => text.includes('O_CREAT'));
    expect(creating.filter(({ text }) => !text.includes('O_EXCL'))).toEqual([]);
    await watched.end();
  }, 60_000);

  it('an exclusive lock is asked for only by a descriptor that may write', async () => {
    const folder = realpathSync(scratch.folder());
    const path = join(folder, 'log.sage');
    // What a killed repair left is locked before it is removed.
    writeFileSync(join(folder, '.log.sage.chronicle-repair'), 'left');
    const watched = new Watched('openat,flock,dup,close');
    await useAll(watched, path);
    writeFileSync(path, `${readFileSync(path, 'utf8')}no record\n`);
    expect(await watched.value('repairChronicle', path)).toMatchObject({ repaired: true });
    const opened = new Map<string, string>();
    const wrong: string[] = [];
    let locks = 0;
    for (const { name, text } of watched.calls) {
      const [, result = ''] = / = (\d+)$/.exec(text) ?? [];
      if (name === 'openat' && result) opened.set(result, text);
      const [, locked = ''] = /^flock\((\d+), LOCK_EX/.exec(text) ?? [];
      if (!locked) continue;
      locks += 1;
      const by = opened.get(locked) ?? 'unknown';
      if (!/O_RDWR|O_WRONLY/.test(by)) wrong.push(by);
    }
    expect(locks).toBeGreaterThan(4);
    expect(wrong).toEqual([]);
    await watched.end();
  }, 60_000);

  it('a new lock file may be opened by all users that may write the log, whatever the mask', async () => {
    const path = join(realpathSync(scratch.folder()), 'log.sage');
    writeFileSync(path, '');
    chmodSync(path, 0o666);
    const before = process.umask(0o077);
    try {
      const lock = await chronicle.lockChronicles([path]);
      await lock.release();
    } finally {
      process.umask(before);
    }
    const { mode } = statSync(join(scratch.folder(), '.log.sage.chronicle-lock'));
    expect(mode & 0o777).toBe(0o666);
  });

  it('a log whose name has no room for a suffix is locked, indexed and repaired like any other', async () => {
    const path = join(realpathSync(scratch.folder()), `${'n'.repeat(250)}.sage`);
    writeFileSync(path, 'no record\n');
    const lock = await chronicle.lockChronicles([path]);
    await lock.append(path, note('locked'));
    await lock.release();
    const report = await chronicle.repairChronicle(path);
    expect(report).toMatchObject({ repaired: true });
    const names = readdirSync(scratch.folder()).filter((name) => !name.endsWith('.sage'));
    const hash = createHash('sha256')
      .update(`${'n'.repeat(250)}.sage`)
      .digest('hex');
    const short = `${'n'.repeat(80)}~${hash.slice(0, 32)}`;
    const stamp = /\d+$/.exec(report.backupPath ?? '')?.[0];
    expect(names.sort()).toEqual([
      `.${short}.chronicle-lock`,
      `${short}.backup.${stamp}`,
      `${short}.removed.${stamp}`,
    ]);
  });

  it.each(['fadvise64', 'fstatfs', 'lseek'])(
    '%s: EINTR is invisible',
    async (call) => {
      // Not in the temporary folder, which may be a tmpfs, where no page is dropped.
      const path = join(realpathSync(scratch.folder()), 'log.sage');
      await chronicle.append(path, note('before'));
      const watched = new Watched(call, [`${call}:error=EINTR:when=1`]);
      expect(await watched.value('append', path, note('one'))).toMatchObject({ seq: 2 });
      expect(await watched.value('append', path, note('before'))).toMatchObject({ seq: 1 });
      const injected = watched.calls.filter(({ text }) => text.endsWith('(INJECTED)'));
      expect(injected.length).toBeGreaterThan(0);
      await watched.end();
    },
    60_000,
  );
});
