// A program that uses the crate, among writers in other languages.
import { execFileSync } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { checkHistory, type Call } from './history';
import { chronicle, note, present, scratchFolder } from './scratch';
import { callsOf, startWriter } from './writer';

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = scratchFolder();
const python = present('rust', 'python3');

let program = '';
let sink = '';
beforeAll(() => {
  const args = ['build', '--locked', '--no-default-features', '--examples'];
  const messages = execFileSync('cargo', [...args, '--message-format=json'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 28,
  });
  const built = messages
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const executableOf = (name: string) =>
    built.find(({ executable, target }) => executable && target.name === name).executable;
  program = executableOf('append');
  sink = executableOf('sink');
}, 300_000);

/** What the program printed of its appends, in their order. */
function told(lines: string[]) {
  return lines.filter(Boolean).map((line) => {
    const [, word, seq, offset] = /^(written|already there): record (\d+) at byte (\d+)$/.exec(
      line,
    )!;
    return { duplicate: word !== 'written', seq: Number(seq), offset: Number(offset) };
  });
}

describe('a program in Rust', () => {
  it.skipIf(!python)(
    'appends while Node and Python do, and nothing is lost, torn or doubled',
    async () => {
      const path = scratch.path('log.sage');
      const marks = Array.from({ length: 60 }, (_, n) => `rust:${n}`);
      // They run until the Rust program has ended, so that all three write at once.
      const nodes = ['n0', 'n1'].map((client) => startWriter({ path, client }));
      const pythons = ['p0', 'p1'].map((client) =>
        Child.python('split_writer.py', path, client, '300'),
      );
      await startTogether([...nodes, ...pythons]);
      const start = process.hrtime.bigint();
      const rust = new Child(program, [path, ...marks.map((mark) => JSON.stringify(note(mark)))]);
      await endsWell([rust]);
      const end = process.hrtime.bigint();
      for (const writer of nodes) writer.send('stop');
      await endsWell([...nodes, ...pythons]);

      const receipts = told(rust.lines);
      expect(receipts.map(({ duplicate }) => duplicate)).toEqual(marks.map(() => false));
      const calls: Call[] = marks.map((mark, n) => ({
        client: mark,
        mark,
        start,
        end,
        outcome: 'acked',
        receipt: receipts[n],
      }));
      const others = [...nodes, ...pythons].flatMap((writer, n) => callsOf(`${n}`, writer));
      expect(checkHistory([...calls, ...others], readFileSync(path))).toEqual([]);
      expect((await chronicle.verifyChronicle(path)).ok).toBe(true);
    },
    120_000,
  );

  it('knows the events of Node again, and Node those of Rust', async () => {
    const path = scratch.path('log.sage');
    const [ours, theirs] = [note('ours'), note('theirs')];
    const receipt = await chronicle.append(path, ours);
    const rust = new Child(program, [path, JSON.stringify(ours), JSON.stringify(theirs)]);
    await endsWell([rust]);
    expect(told(rust.lines)).toEqual([
      { duplicate: true, seq: 1, offset: 0 },
      { duplicate: false, seq: 2, offset: receipt.length + 1 },
    ]);
    expect(await chronicle.append(path, theirs)).toMatchObject({ duplicate: true, seq: 2 });
    const ids = (await chronicle.readChronicle(path)).map(({ eventId }) => eventId);
    expect(ids).toEqual(await chronicle.computeEventIds([ours, theirs]));
  });

  it('is refused by the same codes', async () => {
    const file = join(scratch.folder(), 'log.txt');
    writeFileSync(file, '');
    const wrong = new Child(program, [file, JSON.stringify(note('x'))]);
    expect((await wrong.ended).code).toBe(1);
    expect(wrong.stderr).toMatch(/^EVALIDATION: /);
    const path = scratch.path('log.sage');
    await using lock = await chronicle.lockChronicles([path]);
    const late = new Child(program, [path, JSON.stringify(note('x'))]);
    expect((await late.ended).code).toBe(1);
    expect(late.stderr).toMatch(/^ELOCK_TIMEOUT: /);
    expect(lock.paths).toHaveLength(1);
  });
});

describe('a daemon in Rust with events of its own form', () => {
  const trigger = (persona: string, n: number) =>
    JSON.stringify({ persona, repo: 'sage', file: `${n}.rs`, timestamp: 1767322800000 + n });

  it('appends them as they are, beside a program that takes no lock', async () => {
    const path = scratch.path('valve.ndjson');
    // What such a daemon wrote before: no type, no actor, no lock, no sync.
    const before = `${trigger('before', 0)}\n`;
    writeFileSync(path, before);
    const daemons = ['warden', 'scribe'].map((persona) => {
      const daemon = new Child(sink, [path]);
      for (let n = 0; n < 50; n += 1) daemon.send(trigger(persona, n));
      daemon.closeInput();
      return daemon;
    });
    for (let n = 0; n < 50; n += 1) appendFileSync(path, `\n${trigger('unlocked', n)}\n`);
    await endsWell(daemons);

    const anyExtension = true;
    const events = await chronicle.readChronicle<Record<string, unknown>>(path, { anyExtension });
    expect(events).toHaveLength(151);
    expect(readFileSync(path, 'utf8').startsWith(before)).toBe(true);
    const warden = events.filter(({ persona }) => persona === 'warden');
    expect(warden.map((event) => JSON.stringify(event))).toEqual(
      Array.from({ length: 50 }, (_, n) => trigger('warden', n)),
    );
    const since = { since: 1767322800000 + 49 };
    expect(await chronicle.countEvents(path, since, { anyExtension })).toBe(3);
    expect((await chronicle.verifyChronicle(path, { anyExtension })).ok).toBe(true);
  });
});

it('the crate has the sources, examples and the pages, and nothing of whatever else lies in a clone', () => {
  const args = ['package', '--list', '--allow-dirty', '--locked', '--offline'];
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] } as const;
  const listed = execFileSync('cargo', args, options).trim().split('\n');
  const sources = listed.filter((path) => path.startsWith('src/'));
  // Only where the clone is one of git's.
  const made = ['.cargo_vcs_info.json', 'Cargo.toml.orig'];
  expect(sources).toContain('src/lib.rs');
  expect(listed.filter((path) => ![...sources, ...made].includes(path)).sort()).toEqual(
    [
      ...['Cargo.lock', 'Cargo.toml', 'build.rs', 'examples/append.rs', 'examples/sink.rs'],
      ...['ARCHITECTURE.md', 'CHANGELOG.md', 'FORMAT.md', 'LICENSE', 'README.md'],
    ].sort(),
  );
});
