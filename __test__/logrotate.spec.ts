// The real logrotate renames a log while processes append to it and follow it.
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { chronicle, present, scratchFolder } from './scratch';
import { ackedIn, callsOf, moreAcks, startWriter } from './writer';

const there = present('logrotate', 'logrotate');
const scratch = scratchFolder();
const ROTATIONS = 3;

function rotate(path: string, how: string): void {
  const [conf, state] = [`${path}.conf`, `${path}.state`];
  writeFileSync(conf, `${path} {\n  rotate 20\n  ${how}\n  missingok\n}\n`);
  const { status, stderr } = spawnSync('logrotate', ['-f', '-s', state, conf], {
    encoding: 'utf8',
  });
  if (status !== 0 && !stderr.includes('already exists')) throw new Error(stderr);
}

/** The marks of all files that the log came to be in. */
function marksBeside(path: string): string[] {
  return logsBeside(path).flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => String(JSON.parse(line).mark)),
  );
}

const logsBeside = (path: string) =>
  readdirSync(scratch.folder())
    .filter((name) => /^log\.sage([.-]\d.*)?$/.test(name))
    .map((name) => join(scratch.folder(), name));

describe.skipIf(!there)('logrotate', () => {
  it.each(['nocreate', 'create'])(
    'with %s loses no event of several processes, and a follow gives each once',
    async (how) => {
      const path = scratch.path('log.sage');
      const clients = ['a', 'b'];
      const writers = clients.map((client) => startWriter({ path, client }));
      const out = scratch.path('followed');
      const follower = Child.program('follow-process.mjs', JSON.stringify({ path, out }));
      await follower.line((line) => line.includes('following'));
      await startTogether(writers);
      for (let n = 0; n < ROTATIONS; n += 1) {
        await moreAcks(writers, 20);
        rotate(path, how);
      }
      await moreAcks(writers, 20);
      for (const writer of writers) writer.send('stop');
      await endsWell(writers);
      const acked = writers.flatMap((writer, n) => ackedIn(callsOf(String(clients[n]), writer)));
      const marks = acked.map(({ mark }) => mark).sort();
      expect(marksBeside(path).sort()).toEqual(marks);
      expect(logsBeside(path).length).toBeGreaterThanOrEqual(ROTATIONS);
      // Rarely a writer makes the file before logrotate does, which then takes it out of the row.
      if (logsBeside(path).some((file) => file.endsWith('.backup'))) return;
      follower.send(String(marks.length));
      await endsWell([follower]);
      expect(readFileSync(out, 'utf8').trim().split('\n').sort()).toEqual(marks);
    },
    60_000,
  );

  it('gives the new file a history of its own: an event of the file before is written again', async () => {
    const path = scratch.path('log.sage');
    const event = { type: 'X', timestamp: 't', actor: { agent: 'a', id: 'b' } };
    await chronicle.append(path, event);
    expect(await chronicle.append(path, event)).toMatchObject({ duplicate: true, seq: 1 });
    rotate(path, 'create');
    expect(await chronicle.append(path, event)).toMatchObject({ duplicate: false, seq: 1 });
    expect(await chronicle.append(path, event)).toMatchObject({ duplicate: true, seq: 1 });
  });
});
