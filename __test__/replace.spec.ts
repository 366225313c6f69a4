import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  truncateSync,
  unlinkSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { checkHistory, type Call } from './history';
import { chronicle, note, present, scratchFolder } from './scratch';
import { ackedIn, callsOf, moreAcks, startWriter } from './writer';

const python = present('replace by rename', 'python3');
const scratch = scratchFolder();
const clients = ['a', 'b', 'c'];
const times = 6;

/** Runs writers, changes their file repeatedly while they write, and returns their reports. */
async function whileWriting(
  path: string,
  act: (time: number) => unknown,
  mayFail = false,
): Promise<Call[]> {
  const writers = clients.map((client) => startWriter({ path, client, inFlight: 3, mayFail }));
  await startTogether(writers);
  for (let time = 0; time < times; time += 1) {
    await moreAcks(writers, 20);
    await act(time);
  }
  await moreAcks(writers, 20);
  for (const writer of writers) writer.send('stop');
  await endsWell(writers);
  return writers.flatMap((writer, n) => callsOf(clients[n] ?? '', writer));
}

function marksIn(file: Buffer): Set<string> {
  const lines = file.toString().split('\n');
  return new Set(lines.filter((line) => line !== '').map((line) => JSON.parse(line).mark));
}

/** What was acknowledged only in part of a history is indeterminate for the rest of it. */
function onlyFirm(calls: Call[], firm: (call: Call) => boolean): Call[] {
  return calls.map((call) =>
    call.outcome === 'acked' && !firm(call) ? { ...call, outcome: 'unknown' as const } : call,
  );
}

interface Moment {
  start: bigint;
  end: bigint;
}

function timed(act: () => void): Moment {
  const start = process.hrtime.bigint();
  act();
  return { start, end: process.hrtime.bigint() };
}

describe('while writers run, their file is', () => {
  it('renamed away: each event is in one of the files, and none begun later is in an old one', async () => {
    const path = scratch.path('log.sage');
    const away: Array<{ path: string; moment: Moment }> = [];
    const calls = await whileWriting(path, (time) => {
      const old = scratch.path(`old${time}.sage`);
      away.push({ path: old, moment: timed(() => renameSync(path, old)) });
    });

    let found = 0;
    for (const file of [...away, { path, moment: undefined }]) {
      const bytes = readFileSync(file.path);
      const marks = marksIn(bytes);
      const here = calls.filter((call) => marks.has(call.mark));
      expect(checkHistory(here, bytes)).toEqual([]);
      for (const call of here) {
        if (file.moment) expect(call.start, call.mark).toBeLessThan(file.moment.end);
      }
      found += here.length;
    }
    expect(ackedIn(calls)).toHaveLength(calls.length);
    expect(found).toBe(calls.length);
  }, 60_000);

  it.skipIf(!python)(
    'replaced under the lock by rename: every event is in the new file',
    async () => {
      const path = scratch.path('log.sage');
      await chronicle.append(path, note('first'));
      const editor = Child.python('replace_log.py', path);
      await editor.line((line) => line === 'ready');
      const calls = await whileWriting(path, async () => {
        const from = editor.lines.length;
        editor.send('replace');
        await editor.line((line) => line === 'replaced', from);
      });
      editor.closeInput();
      await endsWell([editor]);
      const first: Call = { client: 'me', mark: 'first', start: 0n, end: 1n, outcome: 'acked' };
      expect(ackedIn(calls)).toHaveLength(calls.length);
      expect(checkHistory([first, ...calls], readFileSync(path))).toEqual([]);
    },
    60_000,
  );

  it('deleted: each event is in a file that was there during its call, those begun later in the new one', async () => {
    const path = scratch.path('log.sage');
    const deleted: Array<{ log: number; moment: Moment }> = [];
    const calls = await whileWriting(path, () => {
      const log = openSync(path, 'r');
      deleted.push({ log, moment: timed(() => unlinkSync(path)) });
    });

    const acked = ackedIn(calls);
    expect(acked).toHaveLength(calls.length);
    const generations = deleted.map(({ log, moment }) => ({ bytes: bytesOf(log), moment }));
    const live = readFileSync(path);
    const homes = [...generations.map(({ bytes }) => marksIn(bytes)), marksIn(live)];
    for (const call of acked) {
      const home = homes.findLastIndex((marks) => marks.has(call.mark));
      expect(home, `${call.mark} is nowhere`).toBeGreaterThanOrEqual(0);
      const gone = generations[home]?.moment;
      if (gone) expect(call.start, `${call.mark} is only in a deleted file`).toBeLessThan(gone.end);
    }
    const last = deleted.at(-1)?.moment.end ?? 0n;
    expect(
      checkHistory(
        onlyFirm(calls, (call) => call.start > last),
        live,
      ),
    ).toEqual([]);
  }, 60_000);

  it.each([false, true])(
    'truncated (copied before: %s): every event begun after it is there',
    async (copied) => {
      const path = scratch.path('log.sage');
      const cuts: Array<{ copy: string; copying: Moment; cutting: Moment }> = [];
      const calls = await whileWriting(
        path,
        (time) => {
          const copy = scratch.path(`copy${time}.sage`);
          const copying = timed(() => copied && copyFileSync(path, copy));
          cuts.push({ copy, copying, cutting: timed(() => truncateSync(path, 0)) });
        },
        true,
      );

      // Only appends in progress while the file was cut may have reported that their lines are
      // gone.
      for (const { mark, outcome, start, end = start } of calls) {
        const overlapped = cuts.some(({ cutting }) => start < cutting.end && end > cutting.start);
        expect(outcome === 'acked' || overlapped, `${mark} is ${outcome}`).toBe(true);
      }
      let since = 0n;
      for (const { copy, copying, cutting } of cuts) {
        if (copied) {
          const firm = (call: Call) => call.start > since && (call.end ?? 0n) < copying.start;
          expect(ackedIn(calls).some(firm)).toBe(true);
          expect(checkHistory(onlyFirm(calls, firm), readFileSync(copy))).toEqual([]);
        }
        since = cutting.end;
      }
      const firm = (call: Call) => call.start > since;
      expect(ackedIn(calls).filter(firm).length).toBeGreaterThanOrEqual(20);
      expect(checkHistory(onlyFirm(calls, firm), readFileSync(path))).toEqual([]);
    },
    60_000,
  );
});

function bytesOf(log: number): Buffer {
  const bytes = Buffer.alloc(fstatSync(log).size);
  readSync(log, bytes, 0, bytes.length, 0);
  closeSync(log);
  return bytes;
}

describe('a file that is gone between two appends', () => {
  it('is made again, with a history of its own', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('m:0'));
    unlinkSync(path);
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({
      duplicate: false,
      offset: 0,
      seq: 1,
    });
    renameSync(path, scratch.path('kept.sage'));
    expect(existsSync(path)).toBe(false);
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({ duplicate: false, seq: 1 });
    expect(await chronicle.readChronicle(scratch.path('kept.sage'))).toHaveLength(1);
  });

  it('may return: its records are known again', async () => {
    const path = scratch.path('log.sage');
    const kept = scratch.path('kept.sage');
    await chronicle.append(path, note('m:0'));
    renameSync(path, kept);
    await chronicle.append(path, note('m:1'));
    renameSync(kept, path);
    expect(await chronicle.append(path, note('m:0'))).toMatchObject({ duplicate: true, seq: 1 });
    expect(await chronicle.append(path, note('m:1'))).toMatchObject({ duplicate: false, seq: 2 });
  });
});
