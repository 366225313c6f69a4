// A program that uses the crate, among writers in other languages.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
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
beforeAll(() => {
  const args = ['build', '--locked', '--no-default-features', '--example', 'append'];
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
  program = built.find(
    ({ executable, target }) => executable && target.name === 'append',
  ).executable;
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

it('the crate has the sources, an example and the pages, and nothing of whatever else lies in a clone', () => {
  const args = ['package', '--list', '--allow-dirty', '--locked', '--offline'];
  const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] } as const;
  const listed = execFileSync('cargo', args, options).trim().split('\n');
  const sources = listed.filter((path) => path.startsWith('src/'));
  // Only where the clone is one of git's.
  const made = ['.cargo_vcs_info.json', 'Cargo.toml.orig'];
  expect(sources).toContain('src/lib.rs');
  expect(listed.filter((path) => ![...sources, ...made].includes(path)).sort()).toEqual(
    [
      ...['Cargo.lock', 'Cargo.toml', 'build.rs', 'examples/append.rs'],
      ...['ARCHITECTURE.md', 'CHANGELOG.md', 'FORMAT.md', 'LICENSE', 'README.md'],
    ].sort(),
  );
});
