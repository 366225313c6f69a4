import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { endsWell, startTogether } from './child';
import { Driven } from './driven';
import { checkHistory, type Call, type Read } from './history';
import { chronicle, isLong, note, scratchFolder } from './scratch';
import { ackedIn, callsOf, startWriter } from './writer';

const scratch = scratchFolder();

async function marksRead(path: string): Promise<Read> {
  const start = process.hrtime.bigint();
  const events = await chronicle.readChronicle<{ mark: string }>(path);
  return { start, marks: events.map((event) => event.mark) };
}

/** Reads again and again until the writers are done. */
async function readBeside(path: string, done: Promise<unknown>): Promise<Read[]> {
  const reads: Read[] = [];
  let over = false;
  const watched = done.finally(() => (over = true));
  while (!over) reads.push(await marksRead(path));
  await watched;
  reads.push(await marksRead(path));
  return reads;
}

describe('many processes', () => {
  it.each([2, 10, 20, ...(isLong ? [100] : [])])(
    '%i processes append 50 events each: each one once, in the order of the acknowledgements',
    async (processes) => {
      const path = scratch.path('log.sage');
      const clients = Array.from({ length: processes }, (_, n) => `client${n}`);
      const writers = clients.map((client) => startWriter({ path, client, count: 50 }));
      await startTogether(writers);
      const reads = await readBeside(path, endsWell(writers));
      const calls = writers.flatMap((writer, n) => callsOf(clients[n] ?? '', writer));

      expect(ackedIn(calls)).toHaveLength(processes * 50);
      const file = readFileSync(path);
      expect(checkHistory(calls, file, { reads })).toEqual([]);
      expect(file.at(-1)).toBe(0x0a);
      expect(reads.at(-1)?.marks).toHaveLength(processes * 50);
    },
    180_000,
  );

  it('each process may have many appends under way', async () => {
    const path = scratch.path('log.sage');
    const clients = ['a', 'b', 'c', 'd'];
    const writers = clients.map((client) =>
      startWriter({ path, client, count: 400, inFlight: 50, filler: 200 }),
    );
    await startTogether(writers);
    await endsWell(writers);
    const calls = writers.flatMap((writer, n) => callsOf(clients[n] ?? '', writer));
    expect(ackedIn(calls)).toHaveLength(1600);
    expect(checkHistory(calls, readFileSync(path))).toEqual([]);
  }, 120_000);

  it('a thousand appends under way in one process: each one once, in the order of the calls', async () => {
    const path = scratch.path('log.sage');
    const calls = await Promise.all(
      Array.from({ length: 1000 }, async (_, n): Promise<Call> => {
        const mark = `me:${n}`;
        const start = process.hrtime.bigint();
        const receipt = await chronicle.append(path, note(mark), { lockTimeoutMs: 60_000 });
        const end = process.hrtime.bigint();
        return { client: 'me', mark, start, end, outcome: 'acked', receipt };
      }),
    );
    expect(checkHistory(calls, readFileSync(path))).toEqual([]);
    const events = await chronicle.readChronicle(path);
    expect(events).toHaveLength(1000);
    for (const event of [events[0], events[499], events[999]]) {
      expect(event && (await chronicle.verifyEventId(event))).toBe(true);
    }
  }, 60_000);

  it('the same 20 events from 10 processes are 20 lines', async () => {
    const path = scratch.path('log.sage');
    const marks = Array.from({ length: 20 }, (_, n) => `same:${n}`);
    const writers = Array.from({ length: 10 }, (_, n) =>
      startWriter({ path, client: `client${n}`, marks }),
    );
    await startTogether(writers);
    await endsWell(writers);
    const calls = writers.flatMap((writer, n) => callsOf(`client${n}`, writer));

    expect(ackedIn(calls)).toHaveLength(200);
    expect(calls.filter((call) => !call.receipt?.duplicate)).toHaveLength(20);
    expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(20);
    expect(checkHistory(calls, readFileSync(path))).toEqual([]);
  }, 60_000);

  it('an event repeated after 100,000 others is one line, also for a process that did not write it', async () => {
    const path = scratch.path('log.sage');
    const first = await chronicle.append(path, note('first'));
    for (let batch = 0; batch < 20; batch += 1) {
      const events = Array.from({ length: 5000 }, (_, n) => note(`other:${batch * 5000 + n}`));
      await chronicle.appendEvents(path, events, { lockTimeoutMs: 60_000 });
    }
    const size = readFileSync(path).length;
    const again = await chronicle.append(path, note('first'));
    expect(again).toMatchObject({ ...first, duplicate: true, identical: true });

    const stranger = new Driven();
    for (const event of [note('first'), note('other:0'), note('other:99999')]) {
      const receipt = await stranger.value('append', path, event);
      expect(receipt).toMatchObject({ duplicate: true, identical: true });
    }
    await stranger.end();
    expect(readFileSync(path)).toHaveLength(size);
  }, 120_000);

  it('a retry with a new timestamp and the same key is one line and gets the first receipt', async () => {
    const path = scratch.path('log.sage');
    const options = { idempotencyKey: 'order-17' };
    const first = await chronicle.append(path, note('order'), options);
    await chronicle.append(path, note('between'));
    const retry = { ...note('order'), timestamp: '2026-05-05T05:05:05.000Z' };
    const second = await chronicle.append(path, retry, options);
    expect(second).toMatchObject({ ...first, duplicate: true, identical: false });

    const stranger = new Driven();
    expect(await stranger.value('append', path, retry, options)).toMatchObject({
      ...first,
      duplicate: true,
      identical: false,
    });
    await stranger.end();
    expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(2);
  }, 60_000);
});
