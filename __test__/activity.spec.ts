import { describe, expect, it } from 'vitest';
import { chronicle, scratchFolder } from './scratch';

const scratch = scratchFolder();

/** An entry of an activity log: a task that was completed, or another fact about it. */
function entry(task: string, minute: number, type = 'task_completed') {
  return {
    type,
    timestamp: `2026-01-02T03:${String(minute).padStart(2, '0')}:00Z`,
    actor: { agent: 'planner', id: 'one' },
    tags: [`task:${task}`],
    report: `${task} at ${minute}`,
  };
}

async function logOf(...entries: ReturnType<typeof entry>[]): Promise<string> {
  const path = scratch.path('activity.sage');
  await chronicle.appendEvents(path, entries);
  return path;
}

describe('a chronicle as an activity log', () => {
  it('counts completions since a time, that time included', async () => {
    const path = await logOf(
      entry('a', 1),
      entry('a', 2),
      entry('b', 2, 'recurrence_anchor_resolved'),
      entry('b', 3),
    );
    const count = (minute: number, tags?: string[]) =>
      chronicle.countEvents(path, {
        type: 'task_completed',
        since: entry('', minute).timestamp,
        ...(tags && { tags }),
      });
    expect(await Promise.all([1, 2, 3, 4].map((minute) => count(minute)))).toEqual([3, 2, 1, 0]);
    expect(await count(1, ['task:a'])).toBe(2);
    expect(await count(2, ['task:b'])).toBe(1);
    expect(await count(1, ['task:'])).toBe(0);
  });

  it('finds the k-th completion since a time, in the order of the file', async () => {
    // Written out of order: what counts is the file.
    const path = await logOf(entry('a', 5), entry('b', 3), entry('c', 4), entry('d', 1));
    const kth = async (k: number) => {
      const where = { type: 'task_completed', since: entry('', 3).timestamp };
      const events = await chronicle.queryChronicle(path, where, { skip: k - 1, limit: 1 });
      return (events as unknown as { report: string }[]).map(({ report }) => report);
    };
    expect(await Promise.all([1, 2, 3, 4].map(kth))).toEqual([
      ['a at 5'],
      ['b at 3'],
      ['c at 4'],
      [],
    ]);
  });

  it('finds the latest completion of a task', async () => {
    const path = await logOf(entry('a', 1), entry('a', 2), entry('ab', 3), entry('b', 4));
    const where = { type: 'task_completed', tags: ['task:a'] };
    const [latest] = await chronicle.queryChronicle(path, where, { reverse: true, limit: 1 });
    expect(latest).toMatchObject(entry('a', 2));
  });

  it('takes 100 writers and 100 readers at once', async () => {
    const path = await logOf();
    const writers = Array.from({ length: 100 }, (_, n) =>
      chronicle.append(path, entry(`t${n}`, 1)),
    );
    const readers = Array.from({ length: 100 }, () => chronicle.readChronicle(path));
    await Promise.all(writers);
    for (const read of await Promise.all(readers)) expect(read.length).toBeLessThanOrEqual(100);
    expect(await chronicle.countEvents(path, { type: 'task_completed' })).toBe(100);
    expect(await chronicle.verifyChronicle(path)).toMatchObject({ ok: true, records: 100 });
  });
});
