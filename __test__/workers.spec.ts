import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, within } from './child';
import { checkHistory, type Call } from './history';
import { chronicle, isLong, present, scratchFolder } from './scratch';
import { ackedIn, callsOf } from './writer';

const scratch = scratchFolder();
const python = present('lock holders', 'python3');

function play(plan: Record<string, unknown>): Child {
  return Child.program('worker-process.mjs', JSON.stringify(plan));
}

/** Each mark begins with the name of its client. */
function callsByClient(child: Child): Call[] {
  return callsOf('', child).map((call) => ({ ...call, client: call.mark.split(':')[0] ?? '' }));
}

function marks(path: string): string[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line).mark);
}

function numbered(client: string, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${client}:${n}`);
}

describe('worker threads', () => {
  const ended = isLong ? 200 : 40;
  it(`${ended} of them ended in the middle of appending crash nothing and lose nothing`, async () => {
    const paths = numbered('log', 4).map((name) => scratch.path(`${name.replace(':', '')}.sage`));
    const child = play({ scene: 'terminate', workers: ended, paths });
    await endsWell([child]);
    const calls = callsByClient(child);
    expect(new Set(ackedIn(calls).map((call) => call.client)).size).toBe(ended + 1);
    for (const path of paths) {
      const file = readFileSync(path);
      const here = new Set(marks(path));
      const others = new Set(paths.filter((other) => other !== path).flatMap(marks));
      const mine = calls.filter((call) => here.has(call.mark) || !others.has(call.mark));
      expect(checkHistory(mine, file)).toEqual([]);
    }
  }, 180_000);

  it('append to one file side by side', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'share', workers: 8, count: 100, path });
    await endsWell([child]);
    const calls = callsByClient(child);
    expect(ackedIn(calls)).toHaveLength(800);
    expect(checkHistory(calls, readFileSync(path))).toEqual([]);
  }, 60_000);

  it('that end leave their accepted appends to the process', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'orphans', workers: 5, count: 40, path });
    await endsWell([child]);
    expect(child.lines).toContain('["flushed",true]');
    const wanted = numbered('w', 5).flatMap((name) => numbered(name.replace(':', ''), 40));
    expect(marks(path)).toEqual(wanted);
  }, 60_000);

  it('that exit with appends under way do not stop the process from writing them', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'exitInWorker', count: 40, path });
    await endsWell([child]);
    expect(marks(path)).toEqual(numbered('w', 40));
  }, 60_000);

  it.skipIf(!python)(
    'that end while the lock is held keep the process alive for their appends',
    async () => {
      const path = scratch.path('log.sage');
      const holder = Child.python('hold_lock.py', path);
      await holder.line((line) => line.startsWith('held'));
      const child = play({ scene: 'exitInWorker', count: 40, path });
      await child.line((line) => line.includes('accepted'));
      // No event reports that a process does not end.
      const ended = child.ended.then(() => 'ended');
      expect(await Promise.race([ended, pause(500, 'waits')])).toBe('waits');
      holder.send('release');
      await endsWell([child, holder]);
      expect(marks(path)).toEqual(numbered('w', 40));
    },
    60_000,
  );
});

describe('the end of a process', () => {
  it.each(['exitPending', 'exitAtOnce'])(
    '%s: appends under way do not make it crash, and what was acknowledged is there',
    async (scene) => {
      for (let round = 0; round < 5; round += 1) {
        const path = scratch.path(`${scene}${round}.sage`);
        const child = play({ scene, count: 200, path });
        const end = await within(child.ended, 60_000, 'no end');
        expect(end, child.stderr).toEqual({ code: 7, signal: null });
        const there = marks(path);
        expect(there).toEqual(numbered('m', there.length));
        const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
        expect(checkHistory(callsByClient(child), bytes)).toEqual([]);
      }
    },
    60_000,
  );

  it('flushSync before process.exit keeps what was accepted', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'flushAndExit', count: 300, path });
    await endsWell([child]);
    expect(child.lines).toContain('["flushed",true]');
    expect(marks(path)).toEqual(numbered('m', 300));
  }, 60_000);

  it('waits for appends that no caller awaits', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'fallOff', count: 300, path });
    await endsWell([child]);
    expect(marks(path)).toEqual(numbered('m', 300));
    expect(await chronicle.readChronicle(path)).toHaveLength(300);
  }, 60_000);

  it('lets an exit handler append with appendEventSync', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'exitHandler', path });
    await endsWell([child]);
    expect(marks(path)).toEqual(['m:0', 'exit:0']);
    const told = child.lines.find((line) => line.startsWith('["receipt"')) ?? '[]';
    expect(JSON.parse(told)[1]).toMatchObject({ seq: 2, duplicate: false, durable: true });
  }, 60_000);

  it('leaves no process behind after one append', async () => {
    const path = scratch.path('log.sage');
    const child = play({ scene: 'share', workers: 1, count: 1, path });
    expect(await within(child.ended, 30_000, 'the process stayed')).toEqual({
      code: 0,
      signal: null,
    });
  }, 60_000);
});
