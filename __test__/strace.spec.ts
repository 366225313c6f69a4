import { existsSync, readFileSync, realpathSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether, within } from './child';
import { Driven, type Answer } from './driven';
import { checkHistory } from './history';
import { chronicle, note, scratchFolder } from './scratch';
import { mayTrace, straceCommand, type Faults } from './strace';
import { callsOf } from './writer';

const scratch = scratchFolder();
const traceable = mayTrace('system call faults');

const writing = 'write,writev,pwrite64,pwritev,pwritev2';
const reading = 'read,readv,pread64,preadv,preadv2';
const syncing = 'fdatasync,fsync';

class Traced extends Driven {
  readonly log: string;

  constructor(faults: Faults) {
    const { log, command } = straceCommand(faults);
    super(command);
    this.log = log;
  }

  /** The injected calls so far, one line each. */
  get injected(): string[] {
    return this.traced.filter((line) => /\((INJECTED|DELAYED)\)$/.test(line));
  }

  get traced(): string[] {
    return readFileSync(this.log, 'utf8').split('\n');
  }

  /** Appends the same event until it is acknowledged; every thread may meet the fault once. */
  async untilAcked(path: string, mark: string, failed: (answer: Answer) => void): Promise<any> {
    for (let attempt = 0; attempt < 30; attempt += 1) {
      const answer = await within(this.call('append', path, note(mark)), 30_000, 'a hang');
      if (answer.ok) return answer.ok;
      failed(answer);
    }
    throw new Error('the append never recovered');
  }
}

/** strace compares whole paths. */
function tracedPath(): string {
  return join(realpathSync(scratch.folder()), 'log.sage');
}

function marksOf(path: string): string[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line).mark);
}

describe.skipIf(!traceable)('a failing system call', () => {
  it.each(['ENOSPC', 'EIO', 'EDQUOT', 'EFBIG'])(
    'write: %s once is a rejection that wrote nothing, and the next append works',
    async (code) => {
      const path = tracedPath();
      await chronicle.append(path, note('before'));
      const { size } = statSync(path);
      const traced = new Traced({ path, inject: [`${writing}:error=${code}:when=1`] });
      let failures = 0;
      const receipt = await traced.untilAcked(path, 'mine', ({ error }) => {
        failures += 1;
        expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code }, path });
        expect(statSync(path).size).toBe(size);
      });
      expect(failures).toBeGreaterThan(0);
      expect(traced.injected).toHaveLength(failures);
      expect(receipt).toMatchObject({ seq: 2, offset: size, duplicate: false });
      await traced.end();
      expect(marksOf(path)).toEqual(['before', 'mine']);
    },
    60_000,
  );

  it('write: EIO for ever rejects every append, also of many callers, and leaves the file as it was', async () => {
    const path = tracedPath();
    await chronicle.append(path, note('before'));
    const { size } = statSync(path);
    const traced = new Traced({ path, inject: [`${writing}:error=EIO`] });
    const calls = Array.from({ length: 64 }, (_, n) => traced.call('append', path, note(`m:${n}`)));
    for (const { error } of await within(Promise.all(calls), 30_000, 'a hang')) {
      expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'EIO' } });
    }
    expect(traced.injected.length).toBeGreaterThan(0);
    expect(statSync(path).size).toBe(size);
    await traced.end();
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({ seq: 2, offset: size });
  }, 60_000);

  it.each([
    ['EIO', 'a new file'],
    ['ENOSPC', 'a new file'],
    ['EIO', 'a file with records'],
  ])(
    'fdatasync: %s once, on %s, is indeterminate, and nothing is acknowledged before the disk was read again',
    async (code, file) => {
      const path = tracedPath();
      // On a new file the first sync is that of the batch; else the last page is proved before.
      if (file !== 'a new file') await chronicle.append(path, note('before'));
      const traced = new Traced({
        path,
        inject: [`${syncing}:error=${code}:when=1`],
        trace: `fadvise64,${reading}`,
      });
      let failures = 0;
      const receipt = await traced.untilAcked(path, 'mine', ({ error }) => {
        failures += 1;
        expect(error).toMatchObject({ code: 'EIO', cause: { code }, path });
        if (file === 'a new file' && failures === 1) expect(error?.written).toBe('unknown');
      });
      expect(failures).toBeGreaterThan(0);
      expect(receipt).toMatchObject({ durable: true });
      const lines = traced.traced;
      const first = lines.findIndex((line) => line.includes('INJECTED'));
      const after = lines.slice(first + 1);
      const dropped = after.findIndex((line) =>
        /fadvise64\(.*POSIX_FADV_DONTNEED\) = 0/.test(line),
      );
      expect(dropped, 'no page was dropped from the cache').toBeGreaterThanOrEqual(0);
      expect(after.slice(dropped).some((line) => /\bp?readv?2?(64)?\(.* = \d/.test(line))).toBe(
        true,
      );
      await traced.end();
      expect(marksOf(path).filter((mark) => mark === 'mine')).toHaveLength(1);
      expect(await chronicle.append(path, note('mine'))).toMatchObject({ duplicate: true });
    },
    60_000,
  );

  it('fdatasync: EIO for ever keeps rejecting, and none of many callers hangs', async () => {
    const path = tracedPath();
    const traced = new Traced({ path, inject: [`${syncing}:error=EIO`] });
    const numbers = Array.from({ length: 64 }, (_, n) => n);
    for (let round = 0; round < 3; round += 1) {
      const calls = numbers.map((n) => traced.call('append', path, note(`m:${n}`)));
      const answers = await within(Promise.all(calls), 30_000, 'a hang');
      for (const { error } of answers) {
        expect(error).toMatchObject({ code: 'EIO', cause: { code: 'EIO' } });
      }
      if (round > 0) continue;
      // The batch whose sync failed may be there; what came after it was not written at all.
      const there = new Set(marksOf(path));
      const unknown = numbers.filter((n) => answers[n]?.error?.written === 'unknown');
      expect(unknown.length).toBeGreaterThan(0);
      for (const n of numbers) if (there.has(`m:${n}`)) expect(unknown).toContain(n);
    }
    expect(traced.injected.length).toBeGreaterThanOrEqual(3);
    await traced.end();
    for (const n of numbers) await chronicle.append(path, note(`m:${n}`));
    expect(new Set(marksOf(path)).size).toBe(64);
    expect(marksOf(path)).toHaveLength(64);
  }, 60_000);

  it.each(['EMFILE', 'ENFILE', 'EACCES', 'EROFS'])(
    'openat: %s creates nothing, and the next append works',
    async (code) => {
      const path = tracedPath();
      const traced = new Traced({ path, inject: [`openat:error=${code}:when=1`] });
      let failures = 0;
      const receipt = await traced.untilAcked(path, 'mine', ({ error }) => {
        failures += 1;
        expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code }, path });
        expect(existsSync(path) && statSync(path).size > 0).toBe(false);
      });
      expect(failures).toBeGreaterThan(0);
      expect(traced.injected.length).toBeGreaterThanOrEqual(failures);
      expect(receipt).toMatchObject({ seq: 1, offset: 0 });
      await traced.end();
    },
    60_000,
  );

  it.each(['openat', 'flock', 'write', 'fdatasync', 'pread64'])(
    '%s: EINTR is invisible',
    async (call) => {
      const path = tracedPath();
      const traced = new Traced({ path, inject: [`${call}:error=EINTR:when=1`] });
      for (let n = 0; n < 20; n += 1) {
        expect(await traced.value('append', path, note(`m:${n}`))).toMatchObject({ seq: n + 1 });
      }
      expect(traced.injected.length).toBeGreaterThan(0);
      await traced.end();
      expect(marksOf(path)).toHaveLength(20);
    },
    60_000,
  );

  it('flock: EAGAIN for ever is ELOCK_TIMEOUT and writes nothing', async () => {
    const path = tracedPath();
    await chronicle.append(path, note('before'));
    const { size } = statSync(path);
    const traced = new Traced({ path, inject: ['flock:error=EAGAIN'] });
    const { error } = await traced.call('append', path, note('mine'), { lockTimeoutMs: 300 });
    expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', written: 'no', path });
    expect(error?.waitedMs).toBeGreaterThanOrEqual(300);
    expect(error?.waitedMs).toBeLessThan(10_000);
    expect(traced.injected.length).toBeGreaterThan(0);
    expect(statSync(path).size).toBe(size);
    await traced.end();
  }, 60_000);

  it.each(['ENOLCK', 'EOPNOTSUPP'])(
    'flock: %s is an error, never an append without a lock',
    async (code) => {
      const path = tracedPath();
      await chronicle.append(path, note('before'));
      const { size } = statSync(path);
      const traced = new Traced({ path, inject: [`flock:error=${code}`] });
      const { error } = await traced.call('append', path, note('mine'));
      expect(['EIO', 'EUNSUPPORTED']).toContain(error?.code);
      expect(error?.written).toBe('no');
      if (error?.code === 'EIO') expect(error.cause).toMatchObject({ code });
      expect(traced.injected.length).toBeGreaterThan(0);
      expect(statSync(path).size).toBe(size);
      await traced.end();
    },
    60_000,
  );

  it.each([
    ['a read', reading],
    ['a stat', 'fstat,newfstatat,statx'],
  ])(
    '%s that fails while catching up is a rejection, never an append or a duplicate',
    async (_what, calls) => {
      const path = tracedPath();
      await chronicle.appendEvents(path, [note('m:0'), note('m:1')]);
      const { size } = statSync(path);
      const traced = new Traced({ path, inject: [`${calls}:error=EIO`] });
      for (const mark of ['m:0', 'm:2']) {
        const { error } = await traced.call('append', path, note(mark));
        expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'EIO' } });
      }
      expect(traced.injected.length).toBeGreaterThan(0);
      expect(statSync(path).size).toBe(size);
      await traced.end();
    },
    60_000,
  );
});

describe.skipIf(!traceable)('a process killed before a system call', () => {
  it.each(
    ['openat', 'flock', 'write', 'fdatasync', 'close'].flatMap(
      (call) =>
        [
          [call, 1],
          [call, 3],
        ] as const,
    ),
  )(
    '%s number %i leaves whole events and loses nothing it acknowledged',
    async (call, number) => {
      const path = tracedPath();
      await chronicle.append(path, note('before'));
      const inject = [`${call}:signal=KILL:when=${number}`];
      const { command, log } = straceCommand({ path, inject });
      const job = { path, client: 'doomed', count: 300, inFlight: 3 };
      const program = fileURLToPath(new URL('writer-process.mjs', import.meta.url));
      const [strace = 'strace', ...options] = command;
      const child = new Child(strace, [...options, process.execPath, program, JSON.stringify(job)]);
      await startTogether([child]);
      const end = await within(child.ended, 30_000, 'no end');
      // One open serves all appends, so that a third one may never come, nor a third close.
      if ((call !== 'openat' && call !== 'close') || number === 1) {
        expect(end).not.toEqual({ code: 0, signal: null });
        expect(readFileSync(log, 'utf8')).toContain('killed by SIGKILL');
      }
      const before = {
        client: 'me',
        mark: 'before',
        start: 0n,
        end: 1n,
        outcome: 'acked' as const,
      };
      const calls = callsOf('doomed', child);
      expect(checkHistory([before, ...calls], readFileSync(path))).toEqual([]);
      const after = await chronicle.append(path, note('after'));
      expect(after).toMatchObject({ duplicate: false, seq: marksOf(path).length });
    },
    60_000,
  );
});

describe.skipIf(!traceable)('a slow sync', () => {
  it('is shared by 64 callers of one environment', async () => {
    const path = tracedPath();
    const traced = new Traced({ path, inject: [`${syncing}:delay_enter=200000`] });
    const calls = Array.from({ length: 64 }, (_, n) => traced.call('append', path, note(`m:${n}`)));
    for (const { ok } of await Promise.all(calls)) expect(ok).toMatchObject({ durable: true });
    expect(traced.injected.length).toBeGreaterThan(0);
    expect(traced.injected.length).toBeLessThanOrEqual(16);
    await traced.end();
    expect(marksOf(path)).toHaveLength(64);
  }, 60_000);

  it('is shared by worker threads', async () => {
    const path = tracedPath();
    const { command, log } = straceCommand({ path, inject: [`${syncing}:delay_enter=30000`] });
    const program = fileURLToPath(new URL('worker-process.mjs', import.meta.url));
    const plan = JSON.stringify({ scene: 'share', workers: 8, count: 10, path });
    const [strace = 'strace', ...options] = command;
    const child = new Child(strace, [...options, process.execPath, program, plan]);
    await endsWell([child]);
    expect(marksOf(path)).toHaveLength(80);
    const syncs = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => /sync\(/.test(line));
    expect(syncs.length).toBeGreaterThan(0);
    expect(syncs.length).toBeLessThan(60);
  }, 60_000);

  it('during which the file is deleted makes the batch run again on the file now at the path', async () => {
    const path = tracedPath();
    await chronicle.append(path, note('before'));
    const { size } = statSync(path);
    const traced = new Traced({ path, inject: [`${syncing}:delay_enter=500000`] });
    const answer = traced.value('append', path, note('mine'));
    while (statSync(path).size === size) await turn();
    unlinkSync(path);
    const receipt = await answer;
    expect(existsSync(path)).toBe(true);
    expect(marksOf(path)).toEqual(['mine']);
    expect(receipt).toMatchObject({ offset: 0, seq: 1 });
    expect(traced.injected.length).toBeGreaterThan(0);
    await traced.end();
  }, 60_000);
});
