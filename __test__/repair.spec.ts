// Repairing from JavaScript, beside processes that append. What is moved out and what stays is
// shown in tests/repair.rs.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  linkSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ChronicleRepairResult } from '../index.mjs';
import { Child, endsWell, startTogether, within } from './child';
import { Driven } from './driven';
import { chronicle, failure, isLong, note, present, scratchFolder } from './scratch';
import { ackedIn, callsOf, moreAcks, startWriter } from './writer';

const python = present('repair beside a foreign lock', 'python3');
const prlimit = present('repair beyond a file size limit', 'prlimit');
const scratch = scratchFolder();

const good = [' {"a" : 1}\t\r', '', '{"b":"\u2028"}'];
const damaged = Buffer.from([good[0], '', 'no object', good[2], '{"torn":'].join('\n'));
const mended = Buffer.from(good.map((line) => `${line}\n`).join(''));

function damagedLog(name = 'log.sage'): string {
  const path = scratch.path(name);
  writeFileSync(path, damaged);
  return path;
}

function beside(path: string): string[] {
  return readdirSync(dirname(path)).sort();
}

/** The complete lines of a file. */
function lines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}

/** The marks of a file's events that have one. */
function marksIn(path: string): string[] {
  return lines(path)
    .filter((line) => line.includes('"mark"'))
    .map((line) => JSON.parse(line).mark);
}

describe('repairChronicle', () => {
  it('reports the changes and the files of the rest', async () => {
    const path = damagedLog();
    const result = await chronicle.repairChronicle(path);
    expect(result).toEqual({
      repaired: true,
      backupPath: expect.stringMatching(/log\.sage\.backup\.\d+$/),
      removedPath: expect.stringMatching(/log\.sage\.removed\.\d+$/),
      changesApplied: ['moved out 1 torn tail', 'moved out 1 malformed line'],
      warnings: [],
      plan: {
        kept: 2,
        removed: [
          { kind: 'malformed', line: 3, offset: 14, length: 9 },
          { kind: 'torn', line: 5, offset: 36, length: 8 },
        ],
        reordered: 0,
      },
    });
    expect(readFileSync(path).equals(mended)).toBe(true);
    expect(readFileSync(result.backupPath ?? '').equals(damaged)).toBe(true);
    expect(readFileSync(result.removedPath ?? '', 'utf8')).toBe('no object\n{"torn":');
    expect(await chronicle.verifyChronicle(path)).toMatchObject({ ok: true, findings: [] });
  });

  it('does nothing the second time, and nothing to a missing file', async () => {
    const path = damagedLog();
    await chronicle.repairChronicle(path);
    const names = beside(path);
    const { ino, mtimeMs } = statSync(path);
    const nothing = { repaired: false, changesApplied: [], warnings: [] };
    const plan = { removed: [], reordered: 0 };
    expect(await chronicle.repairChronicle(path)).toEqual({
      ...nothing,
      plan: { ...plan, kept: 2 },
    });
    expect(statSync(path)).toMatchObject({ ino, mtimeMs });
    const missing = scratch.path('missing.sage');
    const empty = { ...nothing, plan: { ...plan, kept: 0 } };
    expect(await chronicle.repairChronicle(missing)).toEqual(empty);
    expect(beside(path)).toEqual(names);
  });

  it('reports the plan of a dry run and changes no byte, name or time', async () => {
    const path = damagedLog();
    const before = statSync(path, { bigint: true });
    const planned = await chronicle.repairChronicle(path, { dryRun: true });
    const { ino, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    expect({ ino, mtimeNs, ctimeNs }).toEqual({
      ino: before.ino,
      mtimeNs: before.mtimeNs,
      ctimeNs: before.ctimeNs,
    });
    expect(beside(path)).toEqual(['log.sage']);
    expect(planned).toMatchObject({ repaired: false, changesApplied: [] });
    expect(planned.plan).toEqual((await chronicle.repairChronicle(path)).plan);
  });

  it('takes its options', async () => {
    const at = (hour: number, id: string) =>
      JSON.stringify({ eventId: id, timestamp: `2026-01-02T0${hour}:00:00Z`, n: hour });
    const events = [at(3, 'c'), at(1, 'a'), at(2, 'b'), at(4, 'a')];
    const path = scratch.path('log.sage');
    writeFileSync(path, `${events.join('\n')}\n`);
    const asked = { removeDuplicates: true, fixTimestampOrder: true, createBackup: false };
    const planned = await chronicle.repairChronicle(path, { ...asked, dryRun: true });
    expect(planned.plan).toMatchObject({ kept: 3, reordered: 3 });
    const result = await chronicle.repairChronicle(path, asked);
    expect(lines(path)).toEqual([events[1], events[2], events[0]]);
    expect(result).not.toHaveProperty('backupPath');
    expect(result.changesApplied).toEqual([
      'moved out 1 duplicate record',
      'moved 3 records into the order of time',
    ]);
    expect(beside(path)).toHaveLength(2);
    const never = await chronicle.repairChronicle(path, { repairCausalChain: false });
    expect(never.repaired).toBe(false);
  });

  it('rejects wrong paths, options and files, and touches nothing', async () => {
    const path = damagedLog();
    const loose = chronicle.repairChronicle as (...given: unknown[]) => Promise<unknown>;
    for (const given of [
      [5],
      ['log.ndjson'],
      ['../log.sage'],
      [scratch.folder(), { anyExtension: true }],
      [path, null],
      [path, { dryRun: 'yes' }],
      [path, { lockTimeoutMs: -1 }],
      [path, { createBackup: null }],
      [path, { onProgress: () => {} }],
      [path, { signal: {} }],
    ]) {
      expect(await failure(loose(...given))).toMatchObject({ code: 'EVALIDATION' });
    }
    const chain = await failure(chronicle.repairChronicle(path, { repairCausalChain: true }));
    expect(chain).toMatchObject({ code: 'EUNSUPPORTED', path, written: 'no' });
    linkSync(path, scratch.path('other.sage'));
    const linked = await failure(chronicle.repairChronicle(path));
    expect(linked).toMatchObject({ code: 'EVALIDATION', path, written: 'no' });
    expect(beside(path)).toEqual(['log.sage', 'other.sage']);
    expect(readFileSync(path).equals(damaged)).toBe(true);
  });

  it('many at once on one file do it once, and all succeed', async () => {
    const path = damagedLog();
    const options = { lockTimeoutMs: 60_000 };
    const results = await Promise.all(
      Array.from({ length: 12 }, () => chronicle.repairChronicle(path, options)),
    );
    expect(results.filter(({ repaired }) => repaired)).toHaveLength(1);
    expect(readFileSync(path).equals(mended)).toBe(true);
    expect(beside(path)).toHaveLength(3);
  });

  it('lets the event loop go on', async () => {
    const path = scratch.path('log.sage');
    const line = `${JSON.stringify(note('x', { pad: 'x'.repeat(1000) }))}\n`;
    writeFileSync(path, `${line.repeat(20_000)}no object\n`);
    let turns = 0;
    const clock = setInterval(() => (turns += 1), 1);
    const { plan } = await chronicle.repairChronicle(path);
    clearInterval(clock);
    expect(plan).toMatchObject({ kept: 20_000, removed: [{ kind: 'malformed', line: 20_001 }] });
    expect(turns).toBeGreaterThan(0);
  });

  it('given up, it rejects with the reason and leaves the log as it was', async () => {
    const path = scratch.path('log.sage');
    const line = `${JSON.stringify(note('x', { pad: 'x'.repeat(1000) }))}\n`;
    const bytes = Buffer.from(`${line.repeat(20_000)}no object\n`);
    writeFileSync(path, bytes);
    const reason = { why: 'given up' };
    const giveUp = async (begun: () => boolean) => {
      const controller = new AbortController();
      const repair = chronicle.repairChronicle(path, { signal: controller.signal });
      while (!begun()) await pause(0);
      controller.abort(reason);
      return repair.catch((error: unknown) => error);
    };
    expect(await giveUp(() => true)).toBe(reason);
    expect(beside(path)).toEqual(['log.sage']);
    let outcome: unknown;
    for (let attempt = 0; attempt < 20 && outcome !== reason; attempt += 1) {
      // It may have been done before this process had its turn.
      for (const name of beside(path)) rmSync(scratch.path(name));
      writeFileSync(path, bytes);
      outcome = await giveUp(() => beside(path).length > 1);
    }
    expect(outcome).toBe(reason);
    expect(beside(path)).toEqual(['log.sage']);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    const aborted = AbortSignal.abort(reason);
    expect(await failure(chronicle.repairChronicle(path, { signal: aborted }))).toBe(reason);
    expect((await chronicle.repairChronicle(path)).repaired).toBe(true);
  });
});

describe('deduplicateConsecutiveEvents', () => {
  it('returns the number of lines that it moved out', async () => {
    const [a, b] = ['{"eventId":"a"}', '{"eventId":"b"}'];
    const path = scratch.path('log.sage');
    writeFileSync(path, [a, a, a, 'bad', a, b, '', b, a, '{"torn'].join('\n'));
    expect(await chronicle.deduplicateConsecutiveEvents(path)).toBe(3);
    expect(readFileSync(path, 'utf8')).toBe([a, 'bad', a, b, '', a, '{"torn'].join('\n'));
    expect(beside(path)).toHaveLength(3);
    expect(await chronicle.deduplicateConsecutiveEvents(path)).toBe(0);
    expect(await chronicle.deduplicateConsecutiveEvents(scratch.path('missing.sage'))).toBe(0);
    const loose = chronicle.deduplicateConsecutiveEvents as (
      ...given: unknown[]
    ) => Promise<unknown>;
    for (const given of [[5], ['a.txt'], [path, { dryRun: true }], [path, { signal: 1 }]]) {
      expect(await failure(loose(...given))).toMatchObject({ code: 'EVALIDATION' });
    }
  });
});

describe('a repair beside writers', () => {
  it.each([true, false])(
    'loses no acknowledged event of four processes (backup: %s)',
    async (createBackup) => {
      const path = scratch.path('log.sage');
      const clients = ['a', 'b', 'c', 'd'];
      const writers = clients.map((client) =>
        startWriter({ path, client, inFlight: 3, filler: 300 }),
      );
      await startTogether(writers);
      const results: ChronicleRepairResult[] = [];
      const foreign: string[] = [];
      for (let round = 0; round < 8; round += 1) {
        await moreAcks(writers, 15);
        foreign.push(`no object ${round}`);
        // One write, without the lock: it may also come too late, and then stays in the old file.
        appendFileSync(path, `no object ${round}\n`);
        const asked = { createBackup, lockTimeoutMs: 60_000, removeDuplicates: true };
        results.push(await chronicle.repairChronicle(path, asked));
      }
      await moreAcks(writers, 15);
      for (const writer of writers) writer.send('stop');
      await endsWell(writers);
      results.push(await chronicle.repairChronicle(path, { lockTimeoutMs: 60_000 }));

      const marks = marksIn(path);
      expect(new Set(marks).size).toBe(marks.length);
      const acked = writers.flatMap((writer, n) => ackedIn(callsOf(clients[n] ?? '', writer)));
      expect(acked.length).toBeGreaterThan(400);
      const there = new Set(marks);
      expect(acked.filter(({ mark }) => !there.has(mark))).toEqual([]);
      expect(results.filter(({ repaired }) => repaired).length).toBeGreaterThan(0);
      expect(await chronicle.verifyChronicle(path)).toMatchObject({ ok: true, findings: [] });

      const removed = results.flatMap(({ removedPath }) => (removedPath ? lines(removedPath) : []));
      expect([...removed].sort()).toEqual([...foreign].sort());
    },
    120_000,
  );

  it.skipIf(!python)(
    'waits for a lock, in turn with appends that wait for the old file',
    async () => {
      const path = damagedLog();
      const holder = Child.python('hold_lock.py', path);
      await holder.line((line) => line.startsWith('held'));
      const options = { lockTimeoutMs: 60_000 };
      const other = new Driven();
      const appends = [
        chronicle.append(path, note('mine'), options),
        other.value('append', path, note('theirs'), options),
      ];
      const repair = chronicle.repairChronicle(path, options);
      await pause(50);
      holder.send('go');
      await Promise.all([...appends, repair]);
      // In either order the torn tail is moved out, or was ended as a malformed line.
      await chronicle.repairChronicle(path, options);
      expect(marksIn(path).sort()).toEqual(['mine', 'theirs']);
      expect(await chronicle.verifyChronicle(path)).toMatchObject({ ok: true, findings: [] });
      await other.end();
      await endsWell([holder]);
    },
  );

  it.skipIf(!python)('reports the holder of a lock that is not free in time', async () => {
    const path = damagedLog();
    const holder = Child.python('hold_lock.py', path);
    const held = await holder.line((line) => line.startsWith('held'));
    for (const call of ['repairChronicle', 'deduplicateConsecutiveEvents'] as const) {
      const twice = scratch.path('twice.sage');
      writeFileSync(twice, '{"eventId":"a"}\n{"eventId":"a"}\n');
      const second = Child.python('hold_lock.py', twice);
      await second.line((line) => line.startsWith('held'));
      const file = call === 'repairChronicle' ? path : twice;
      for (const lockTimeoutMs of [0, 100]) {
        const error = await failure(chronicle[call](file, { lockTimeoutMs }));
        expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path: file, written: 'no' });
        expect(error.waitedMs).toBeGreaterThanOrEqual(lockTimeoutMs);
        const pid = call === 'repairChronicle' ? Number(held.split(' ')[1]) : second.pid;
        if (process.platform === 'linux') expect(error.holderPid).toBe(pid);
      }
      second.send('go');
      await endsWell([second]);
    }
    const reason = new Error('given up');
    const controller = new AbortController();
    const waits = chronicle.repairChronicle(path, {
      lockTimeoutMs: 60_000,
      signal: controller.signal,
    });
    await pause(20);
    controller.abort(reason);
    expect(await failure(waits)).toBe(reason);
    expect(readFileSync(path).equals(damaged)).toBe(true);
    // A dry run asks for no lock.
    expect((await chronicle.repairChronicle(path, { dryRun: true })).plan.kept).toBe(2);
    holder.send('go');
    await endsWell([holder]);
  });
});

describe.skipIf(!python)('more repairs than run at a time', () => {
  it('wait for their turn, and those that wait can be given up', async () => {
    const paths = Array.from({ length: 10 }, (_, n) => damagedLog(`log${n}.sage`));
    const holder = Child.python('hold_lock.py', ...paths);
    await holder.line((line) => line.startsWith('held'));
    const controller = new AbortController();
    const repairs = paths.map((path, n) => {
      const signal = n < 9 ? {} : { signal: controller.signal };
      return chronicle.repairChronicle(path, { lockTimeoutMs: 120_000, ...signal });
    });
    const reason = { why: 'given up' };
    controller.abort(reason);
    const last = repairs.pop() ?? Promise.resolve();
    expect(await within(failure(last), 30_000, 'the last was not given up')).toBe(reason);
    holder.send('go');
    for (const { repaired } of await Promise.all(repairs)) expect(repaired).toBe(true);
    expect(readFileSync(paths[9] ?? '').equals(damaged)).toBe(true);
    await endsWell([holder]);
  });
});

describe('a repair that is killed', () => {
  it('at any moment leaves the old file or the new one, whole, and a log that is appended to', async () => {
    const line = `${JSON.stringify(note('x', { pad: 'é'.repeat(500) }))}\n`;
    const kept = Buffer.from(line.repeat(8_000));
    const before = Buffer.concat([kept, Buffer.from('no object\n'), kept]);
    const after = Buffer.concat([kept, kept]);
    let killed = 0;
    for (let round = 0; round < (isLong || killed === 0 ? 12 : 4); round += 1) {
      const path = scratch.path(`log${round}.sage`);
      writeFileSync(path, before);
      const driven = new Driven();
      await driven.value('readChronicle', scratch.path('missing.sage'));
      const answer = driven.call('repairChronicle', path).catch(() => ({ killed: true }));
      await pause(Math.random() * 120);
      driven.child.kill('SIGKILL');
      killed += Number('killed' in (await answer));
      await driven.child.ended;
      const left = readFileSync(path);
      expect(left.equals(before) || left.equals(after)).toBe(true);
      // By a process that ends here: it makes a side index, which would outlive the test's folder.
      const other = new Driven();
      const receipt = await other.value('append', path, note('after'));
      await other.end();
      expect(receipt).toMatchObject({ duplicate: false, seq: 16_001, offset: left.length });
      const again = await chronicle.repairChronicle(path);
      expect(again.repaired).toBe(left.equals(before));
      expect(readFileSync(path).subarray(0, after.length).equals(after)).toBe(true);
      expect(await chronicle.repairChronicle(path)).toMatchObject({ repaired: false });
    }
    expect(killed).toBeGreaterThan(0);
  }, 120_000);
});

describe.skipIf(!prlimit)('a repair beyond the file size limit', () => {
  it('rejects, leaves the log as it was and nothing beside it', async () => {
    const path = scratch.path('log.sage');
    const bytes = Buffer.from(`${'{"a":1}\n'.repeat(5_000)}no object\n`);
    writeFileSync(path, bytes);
    const driven = new Driven();
    await driven.value('readChronicle', path, { onBadLine: 'skip' });
    const limits = ['--pid', String(driven.child.pid), '--fsize=10000:unlimited'];
    expect(spawnSync('prlimit', limits).status).toBe(0);
    const { error } = await driven.call('repairChronicle', path);
    expect(error).toMatchObject({ code: 'EIO', written: 'no', cause: { code: 'EFBIG' }, path });
    expect(beside(path)).toEqual(['log.sage']);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    spawnSync('prlimit', ['--pid', String(driven.child.pid), '--fsize=unlimited:unlimited']);
    expect(await driven.value('repairChronicle', path)).toMatchObject({ repaired: true });
    await driven.end();
  });
});
