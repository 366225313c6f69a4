import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Child, within } from './child';
import { checkHistory } from './history';
import { chronicle, isLong, note, present, scratchFolder } from './scratch';
import { Random } from './support';
import { ackedIn, callsOf, startWriter, type Job } from './writer';

const scratch = scratchFolder();
const seconds = Number(process.env.CHRONICLE_SOAK ?? (isLong ? 60 : 4));
const many = isLong || seconds > 60 ? 100 : 12;
// A shell script that knows no --version.
const fiu = present('soak under failing syncs', 'fiu-run', ['-n', '-x', 'true']);

/** A writer whose syncs fail one time in ten, by a preloaded library: the bytes are on the disk. */
function startFailing(job: Job): Child {
  const program = fileURLToPath(new URL('writer-process.mjs', import.meta.url));
  const fault = 'enable_random name=posix/io/sync/fdatasync,probability=0.1,failinfo=5';
  const command = [process.execPath, program, JSON.stringify(job)];
  return new Child('fiu-run', ['-x', '-c', fault, ...command]);
}

describe('a soak', () => {
  it(
    `of ${many} processes for ${seconds} s, killed again and again, loses and doubles nothing that was acknowledged`,
    async () => {
      const random = new Random();
      const path = scratch.path('log.sage');
      const started: { client: string; child: Child }[] = [];
      const alive: Child[] = [];
      let kills = 0;
      const start = () => {
        const client = `c${started.length}`;
        const job = { path, client, inFlight: 1 + random.below(4), mayFail: true };
        const child = fiu && started.length % 3 === 0 ? startFailing(job) : startWriter(job);
        // One that is killed early never says it.
        child
          .line((line) => line === 'ready')
          .then(
            () => child.send('go'),
            () => {},
          );
        started.push({ client, child });
        alive.push(child);
      };
      for (let n = 0; n < many; n += 1) start();
      const end = Date.now() + seconds * 1000;
      while (Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 200 + random.below(400)));
        const [victim] = alive.splice(random.below(alive.length), 1);
        victim?.kill('SIGKILL');
        kills += 1;
        start();
      }
      for (const child of alive) child.send('stop');
      // A writer that was not ready starts later, and gets another `stop`.
      const stopping = setInterval(() => alive.forEach((child) => child.send('stop')), 500);
      await within(
        Promise.all(started.map(({ child }) => child.ended)),
        120_000,
        'some did not end',
      );
      clearInterval(stopping);

      const file = readFileSync(path);
      const calls = started.flatMap(({ client, child }) => callsOf(client, child));
      expect(checkHistory(calls, file, { badLines: kills }), `seed ${random.seed}`).toEqual([]);
      const failed = calls.filter(({ outcome, end: settled }) => outcome !== 'acked' && settled);
      const acked = ackedIn(calls).length;
      process.stdout.write(
        `soak: ${acked} acknowledged, ${kills} kills, ${failed.length} failed\n`,
      );
      expect(acked).toBeGreaterThan(many);
      // The faults were there.
      if (fiu) expect(failed.length).toBeGreaterThan(0);
      const receipt = await chronicle.append(path, note('after all'));
      expect(receipt.duplicate).toBe(false);
      const { ok, findings } = await chronicle.verifyChronicle(path);
      expect(findings.filter(({ kind }) => kind === 'duplicate')).toEqual([]);
      expect(ok || findings.length <= kills).toBe(true);
    },
    (seconds + 240) * 1000,
  );
});
