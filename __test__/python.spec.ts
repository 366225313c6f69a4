import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { checkHistory } from './history';
import { chronicle, failure, note, present, scratchFolder } from './scratch';
import { ackedIn, callsOf, startWriter } from './writer';

const python = present('python', 'python3');
const scratch = scratchFolder();

function badLines(file: string): number {
  return file.split('\n').filter((line) => {
    try {
      return line !== '' && typeof JSON.parse(line) !== 'object';
    } catch {
      return true;
    }
  }).length;
}

describe.skipIf(!python)('Python writers under fcntl.flock', () => {
  it.each([
    [10, 0, 50],
    [5, 5, 50],
    [4, 8, 100],
  ])(
    '%i Python and %i Node processes with %i split lines each lose and tear nothing',
    async (pythons, nodes, count) => {
      const path = scratch.path('log.sage');
      const split = Array.from({ length: pythons }, (_, n) => `python${n}`);
      const own = Array.from({ length: nodes }, (_, n) => `node${n}`);
      const children = [
        ...split.map((client) => Child.python('split_writer.py', path, client, String(count))),
        ...own.map((client) => startWriter({ path, client, count })),
      ];
      await startTogether(children);
      await endsWell(children);
      const calls = [...split, ...own].flatMap((client, n) => {
        const child = children[n];
        return child ? callsOf(client, child) : [];
      });
      expect(ackedIn(calls)).toHaveLength((pythons + nodes) * count);
      expect(checkHistory(calls, readFileSync(path))).toEqual([]);
      expect(await chronicle.readChronicle(path)).toHaveLength((pythons + nodes) * count);
    },
    120_000,
  );

  it('without the lock the same writers damage lines, so the tests above can fail', async () => {
    for (let round = 0; round < 30; round += 1) {
      const path = scratch.path(`unlocked${round}.sage`);
      const writers = Array.from({ length: 4 }, (_, n) =>
        Child.python('split_writer.py', path, `p${n}`, '200', 'unlocked'),
      );
      await startTogether(writers);
      await endsWell(writers);
      const calls = writers.flatMap((writer, n) => callsOf(`p${n}`, writer));
      if (badLines(readFileSync(path, 'utf8')) === 0) continue;
      expect(checkHistory(calls, readFileSync(path))).not.toEqual([]);
      return;
    }
    expect.unreachable('thirty rounds without a lock damaged nothing');
  }, 120_000);

  it('a lock that Python holds makes an append time out, report the holder and write nothing', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('before'));
    const before = readFileSync(path);
    const holder = Child.python('hold_lock.py', path);
    const held = await holder.line((line) => line.startsWith('held'));

    const started = Date.now();
    const error = await failure(chronicle.append(path, note('mine'), { lockTimeoutMs: 200 }));
    expect(chronicle.isChronicleError(error, 'ELOCK_TIMEOUT')).toBe(true);
    expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', path, written: 'no' });
    expect(error.waitedMs).toBeGreaterThanOrEqual(200);
    expect(error.waitedMs).toBeLessThan(10_000);
    expect(Date.now() - started).toBeGreaterThanOrEqual(199);
    if (process.platform === 'linux') expect(error.holderPid).toBe(Number(held.split(' ')[1]));
    expect(readFileSync(path)).toEqual(before);

    const waiting = chronicle.append(path, note('mine'), { lockTimeoutMs: 60_000 });
    holder.send('release');
    expect(await waiting).toMatchObject({ duplicate: false, offset: before.length, seq: 2 });
    await endsWell([holder]);
  }, 60_000);

  it.each([0, 50])(
    'a timeout of %i ms on a held lock ends soon',
    async (lockTimeoutMs) => {
      const path = scratch.path('log.sage');
      const holder = Child.python('hold_lock.py', path);
      await holder.line((line) => line.startsWith('held'));
      const error = await failure(chronicle.append(path, note('mine'), { lockTimeoutMs }));
      expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', written: 'no' });
      expect(error.waitedMs).toBeGreaterThanOrEqual(lockTimeoutMs);
      expect(error.waitedMs).toBeLessThan(10_000);
      holder.send('release');
      await endsWell([holder]);
      await chronicle.append(path, note('mine'), { lockTimeoutMs: 0 });
      expect(await chronicle.readChronicle(path)).toHaveLength(1);
    },
    60_000,
  );

  it('our lock bars Python', async () => {
    const path = scratch.path('log.sage');
    const seeker = Child.python('try_lock.py', path, '60');
    await startTogether([seeker]);
    let answered = false;
    const answer = seeker.line((line) => line.endsWith('blocked')).finally(() => (answered = true));
    const options = { lockTimeoutMs: 60_000, durability: 'os' } as const;
    for (let n = 0; !answered; n += 1) await chronicle.append(path, note(`m:${n}`), options);
    expect(await answer).toBe('blocked');
  }, 90_000);

  it('readers under LOCK_SH and our lock-free reader see prefixes of whole lines', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, '');
    const readers = Array.from({ length: 5 }, () => Child.python('shared_reader.py', path, '20'));
    const writer = startWriter({ path, client: 'w', count: 200 });
    await startTogether([writer, ...readers]);
    let over = false;
    const done = endsWell([writer, ...readers]).finally(() => (over = true));
    const reads: Array<{ start: bigint; marks: string[] }> = [];
    while (!over) {
      const start = process.hrtime.bigint();
      const events = await chronicle.readChronicle<{ mark: string }>(path);
      reads.push({ start, marks: events.map((event) => event.mark) });
    }
    await done;
    const file = readFileSync(path);
    expect(checkHistory(callsOf('w', writer), file, { reads })).toEqual([]);
    for (const reader of readers) {
      const seen = reader.lines.filter((line) => line !== 'ready');
      expect(seen).toHaveLength(20);
      for (const line of seen) {
        const [size, digest, whole] = line.split(' ');
        const prefix = createHash('sha256')
          .update(file.subarray(0, Number(size)))
          .digest('hex');
        expect([digest, whole]).toEqual([prefix, 'whole']);
      }
    }
  }, 60_000);

  it('writers that put the newline first share a log with us', async () => {
    const path = scratch.path('log.sage');
    const firsts = ['p0', 'p1', 'p2'].map((client) =>
      Child.python('split_writer.py', path, client, '50', 'newline-first'),
    );
    const own = startWriter({ path, client: 'n', count: 50 });
    await startTogether([...firsts, own]);
    await endsWell([...firsts, own]);
    const calls = [...firsts, own].flatMap((child, n) => callsOf(n < 3 ? `p${n}` : 'n', child));
    expect(ackedIn(calls)).toHaveLength(200);
    expect(checkHistory(calls, readFileSync(path))).toEqual([]);
    expect(await chronicle.readChronicle(path)).toHaveLength(200);
  }, 60_000);

  it('a log that ends in such a record keeps it when we append', async () => {
    const path = scratch.path('log.sage');
    const foreign = '\n{"type":"A","mark":"a"}\n{"type":"B","mark":"b"}';
    writeFileSync(path, foreign);
    expect(await chronicle.readChronicle(path)).toHaveLength(2);
    const receipt = await chronicle.append(path, note('c'));
    expect(receipt).toMatchObject({ seq: 3, offset: foreign.length + 1 });
    expect(readFileSync(path, 'utf8').startsWith(`${foreign}\n{`)).toBe(true);
    const events = await chronicle.readChronicle<{ mark: string }>(path);
    expect(events.map((event) => event.mark)).toEqual(['a', 'b', 'c']);
  });

  it('Python reads what we wrote with its keys in their order', async () => {
    const path = scratch.path('log.sage');
    const events = Array.from({ length: 100 }, (_, n) =>
      note(`m:${n}`, { zulu: n, alpha: '\u2028é' }),
    );
    await chronicle.appendEvents(path, events);
    const reader = Child.python('read_log.py', path);
    await endsWell([reader]);
    expect(reader.lines.map((line) => JSON.parse(line))).toEqual(
      events.map(({ type: _, ...rest }) => [['type', 'eventId', ...Object.keys(rest)], rest.mark]),
    );
    expect(existsSync(`${path}.lock`)).toBe(false);
  }, 60_000);
});
