import { pbkdf2 } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { Driven } from './driven';
import { checkHistory, type Call } from './history';
import { chronicle, failure, isLong, note, present, scratchFolder } from './scratch';
import { ackedIn, callsOf, startWriter } from './writer';

const rounds = Number(process.env.CHRONICLE_KILL_ROUNDS ?? (isLong ? 25 : 8));
// Each round reads the whole file again.
const roundsPerFile = 12;
const python = present('lock holders', 'python3');
const scratch = scratchFolder();

function isAck(line: string): boolean {
  return line.startsWith('["done"') && line.includes('"acked"');
}

function wholeLines(file: Buffer): string[] {
  return file
    .subarray(0, file.lastIndexOf(0x0a) + 1)
    .toString()
    .split('\n')
    .filter((line) => line !== '');
}

async function appended(path: string, mark: string): Promise<Call> {
  const start = process.hrtime.bigint();
  const receipt = await chronicle.append(path, note(mark), { lockTimeoutMs: 30_000 });
  const end = process.hrtime.bigint();
  return { client: 'survivor', mark, start, end, outcome: 'acked', receipt };
}

/** Kills one writer after the other and appends after each; then the whole history must hold. */
async function killInTurn(path: string, writers: number): Promise<void> {
  const calls: Call[] = [];
  let acked = 0;
  let torn = 0;
  for (let round = 0; round < writers; round += 1) {
    // A kill in the middle of a large write leaves a part of it; in a small one it hardly can.
    const filler = round % 3 === 2 ? 1 << 20 : 0;
    const writer = startWriter({ path, client: `w${round}`, inFlight: 1 + (round % 4), filler });
    await startTogether([writer]);
    await writer.line(isAck);
    await pause(Math.random() * 40);
    writer.kill('SIGKILL');
    expect((await writer.ended).signal).toBe('SIGKILL');

    const file = readFileSync(path);
    const bad = wholeLines(file).filter((line) => !isObject(line));
    expect(bad).toHaveLength(torn);
    const mine = callsOf(`w${round}`, writer);
    acked += ackedIn(mine).length;
    calls.push(...mine, await appended(path, `survivor:${round}`));
    const tail = file.subarray(file.lastIndexOf(0x0a) + 1).toString();
    if (tail !== '' && !isObject(tail)) torn += 1;
  }
  expect(acked).toBeGreaterThanOrEqual(writers);
  expect(checkHistory(calls, readFileSync(path), { badLines: torn })).toEqual([]);
  const events = await chronicle.readChronicle<any>(path, { onBadLine: () => {} });
  for (const event of events.slice(-20)) expect(await chronicle.verifyEventId(event)).toBe(true);
}

describe('kill -9', () => {
  it(
    `${rounds} writers killed at any moment lose nothing they acknowledged`,
    async () => {
      for (let first = 0; first < rounds; first += roundsPerFile) {
        await killInTurn(scratch.path(`log${first}.sage`), Math.min(roundsPerFile, rounds - first));
      }
    },
    30_000 + rounds * 3_000,
  );

  it('the other writers of a killed one go on', async () => {
    const path = scratch.path('log.sage');
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const writers = names.map((client) =>
      startWriter({ path, client, inFlight: 2, filler: 20_000 }),
    );
    await startTogether(writers);
    const doomed = writers.slice(0, 4);
    for (const writer of doomed) {
      await writer.line(isAck);
      await pause(Math.random() * 20);
      writer.kill('SIGKILL');
      await writer.ended;
      const survivors = writers.slice(4);
      await Promise.all(survivors.map((child) => child.line(isAck, child.lines.length)));
    }
    for (const writer of writers.slice(4)) writer.send('stop');
    await endsWell(writers.slice(4));
    const calls = writers.flatMap((writer, n) => callsOf(names[n] ?? '', writer));
    expect(checkHistory(calls, readFileSync(path), { badLines: doomed.length })).toEqual([]);
  }, 60_000);
});

function isObject(line: string): boolean {
  try {
    return typeof JSON.parse(line) === 'object';
  } catch {
    return false;
  }
}

/** A writer of ours, stopped while it holds the lock: an append beside it times out. */
async function stoppedHolder(path: string): Promise<Child> {
  const options = { durability: 'os', computeId: false };
  const writer = startWriter({ path, client: 'big', inFlight: 4, filler: 1 << 20, options });
  await startTogether([writer]);
  await writer.line(isAck);
  for (let attempt = 0; attempt < 200; attempt += 1) {
    writer.kill('SIGSTOP');
    try {
      await chronicle.append(path, note(`try:${attempt}`), { lockTimeoutMs: 60 });
    } catch (error) {
      expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', written: 'no', path });
      if (process.platform === 'linux') expect(error).toMatchObject({ holderPid: writer.pid });
      return writer;
    }
    writer.kill('SIGCONT');
    await pause(Math.random() * 4);
  }
  throw new Error('the writer was never stopped while it held the lock');
}

describe('a lock holder', () => {
  it('that is stopped makes others time out, and they proceed after it continues', async () => {
    const path = scratch.path('log.sage');
    const writer = await stoppedHolder(path);
    const waiting = chronicle.append(path, note('waiting'), { lockTimeoutMs: 60_000 });
    writer.kill('SIGCONT');
    expect(await waiting).toMatchObject({ duplicate: false });
    writer.send('stop');
    await endsWell([writer]);
    const marks = (await chronicle.readChronicle<{ mark: string }>(path)).map(({ mark }) => mark);
    expect(marks.filter((mark) => mark === 'waiting')).toHaveLength(1);
    const seen = new Set(marks);
    for (const call of ackedIn(callsOf('big', writer))) expect(seen.has(call.mark)).toBe(true);
  }, 120_000);

  it('that is killed lets the next append proceed', async () => {
    const path = scratch.path('log.sage');
    const writer = await stoppedHolder(path);
    const waiting = chronicle.append(path, note('waiting'), { lockTimeoutMs: 60_000 });
    writer.kill('SIGKILL');
    const receipt = await waiting;
    expect(receipt).toMatchObject({ duplicate: false });
    const file = readFileSync(path);
    const line = file.toString('utf8', receipt.offset, receipt.offset + receipt.length);
    expect(JSON.parse(line)).toMatchObject({ mark: 'waiting' });
    const marks = await chronicle.readChronicle<{ mark: string }>(path, { onBadLine: () => {} });
    const seen = new Set(marks.map(({ mark }) => mark));
    for (const call of ackedIn(callsOf('big', writer))) expect(seen.has(call.mark)).toBe(true);
  }, 120_000);
});

describe.skipIf(!python)('while a foreign process holds the lock', () => {
  it('timers, file calls and the thread pool of our process go on', async () => {
    const path = scratch.path('log.sage');
    const holder = Child.python('hold_lock.py', path);
    await holder.line((line) => line.startsWith('held'));
    let settled = false;
    const waiting = chronicle
      .append(path, note('mine'), { lockTimeoutMs: 60_000 })
      .finally(() => (settled = true));
    for (let n = 0; n < 100; n += 1) {
      await stat(path);
      await turn();
      await pause(1);
    }
    await promisify(pbkdf2)('a', 'b', 1000, 32, 'sha256');
    expect(settled).toBe(false);
    expect(readFileSync(path)).toHaveLength(0);
    holder.send('release');
    expect(await waiting).toMatchObject({ offset: 0 });
    await endsWell([holder]);
  }, 60_000);

  it('64 appends wait on 64 files without a thread of their own and end at their deadline', async () => {
    const paths = Array.from({ length: 64 }, (_, n) => scratch.path(`log${n}.sage`));
    const driven = new Driven([], { UV_THREADPOOL_SIZE: '4' });
    await driven.value('append', scratch.path('warm.sage'), note('warm'));
    await driven.value('readChronicle', scratch.path('warm.sage'));
    const holder = Child.python('hold_lock.py', ...paths);
    await holder.line((line) => line.startsWith('held'));

    const late = paths.map((path) =>
      driven.call('append', path, note('a'), { lockTimeoutMs: 300 }),
    );
    for (const { error } of await Promise.all(late)) {
      expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', written: 'no' });
      expect(error?.waitedMs).toBeGreaterThanOrEqual(300);
    }

    const options = { lockTimeoutMs: 60_000 };
    const waiting = paths.map((path) => driven.call('append', path, note('b'), options));
    // Answers come in the order of settling: these two are given while 64 appends wait.
    await driven.value('poolWork', 16);
    if (process.platform === 'linux') {
      // Node has its main thread, four workers, a signal thread and four of libuv's pool at most.
      expect((await driven.value('used')).threads).toBeLessThanOrEqual(11 + 8);
    }
    expect(driven.child.lines.filter((line) => line.includes('"ok":{"eventId"'))).toHaveLength(1);
    holder.send('release');
    for (const { ok } of await Promise.all(waiting)) expect(ok).toMatchObject({ offset: 0 });
    await endsWell([holder]);
    await driven.end();
  }, 90_000);
});
