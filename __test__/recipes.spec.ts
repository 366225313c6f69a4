// FORMAT.md has recipes for programs in other languages: they are run as they stand there.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { chronicle, note, present, scratchFolder } from './scratch';
import { startWriter } from './writer';

const format = readFileSync(fileURLToPath(new URL('../FORMAT.md', import.meta.url)), 'utf8');
const [, section = ''] = /^## Writing from other languages\n([\s\S]*?)^## /m.exec(format) ?? [];

/** The recipe of a language. */
function recipe(language: string): string {
  const blocks = [
    ...section.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm')),
  ];
  expect(blocks).toHaveLength(1);
  return String(blocks[0]?.[1]);
}

/**
 * A program around a recipe: it says `ready`, and appends each line of its input to the file that
 * is its argument.
 */
interface Writer {
  tool: string;
  version: string[];
  /** Writes the program and gives the command that runs it. */
  make: (folder: string, code: string) => string[];
}

const python: Writer = {
  tool: 'python3',
  version: ['--version'],
  make(folder, code) {
    const file = join(folder, 'writer.py');
    const lines = 'for line in sys.stdin:\n    append(sys.argv[1], json.loads(line))\n';
    writeFileSync(file, `${code}\n\nimport sys\n\nprint("ready", flush=True)\n${lines}`);
    return ['python3', file];
  },
};

function shell(tool: string): Writer {
  return {
    tool,
    version: ['-c', 'command -v flock'],
    make(folder, code) {
      const file = join(folder, `writer.${tool}`);
      const lines = 'while IFS= read -r line; do append "$1" "$line" || exit 1; done\n';
      writeFileSync(file, `${code}\necho ready\n${lines}`);
      return [tool, file];
    },
  };
}

const go: Writer = {
  tool: 'go',
  version: ['version'],
  make(folder, code) {
    writeFileSync(join(folder, 'append.go'), code);
    writeFileSync(
      join(folder, 'main.go'),
      `package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := Append(os.Args[1], lines.Bytes()); err != nil {
			panic(err)
		}
	}
}
`,
    );
    return built(folder, ['go', 'build', '-o', 'go-writer', 'append.go', 'main.go'], 'go-writer');
  },
};

const rust: Writer = {
  tool: 'rustc',
  version: ['--version'],
  make(folder, code) {
    writeFileSync(join(folder, 'recipe.rs'), code);
    writeFileSync(
      join(folder, 'main.rs'),
      `mod recipe;

fn main() {
    println!("ready");
    let path = std::env::args().nth(1).unwrap();
    for line in std::io::stdin().lines() {
        recipe::append(path.as_ref(), &line.unwrap()).unwrap();
    }
}
`,
    );
    const command = ['rustc', '--edition', '2024', '-o', 'rust-writer', 'main.rs'];
    return built(folder, command, 'rust-writer');
  },
};

function built(folder: string, [tool = '', ...args]: string[], program: string): string[] {
  const child = spawnSync(tool, args, { cwd: folder, encoding: 'utf8' });
  if (child.status !== 0) throw new Error(`${tool}: ${child.stderr}`);
  return [join(folder, program)];
}

const recipes: Array<[string, string, Writer]> = [
  ['Python', 'python', python],
  ['sh', 'sh', shell('sh')],
  ['bash', 'sh', shell('bash')],
  ['Go', 'go', go],
  ['Rust', 'rust', rust],
];

const scratch = scratchFolder();
const programs = mkdtempSync(join(tmpdir(), 'chronicle-recipes-'));
afterAll(() => rmSync(programs, { recursive: true, force: true }));

const whole = JSON.stringify(note('before'));
const tails: Array<[string, string | Buffer, string[]]> = [
  ['nothing', '', []],
  ['a record', `${whole}\n`, ['before']],
  ['a torn tail', `${whole}\n{"type":"NOTE_TA`, ['before']],
  ['a record without its newline', whole, ['before']],
  ['NUL bytes', Buffer.concat([Buffer.from(`${whole}\n`), Buffer.alloc(300)]), ['before']],
  [
    'UTF-16',
    Buffer.concat([Buffer.from(`${whole}\n`), Buffer.from('\ufeff{}\r\n', 'utf16le')]),
    ['before'],
  ],
];

async function marksOf(path: string): Promise<string[]> {
  const events = await chronicle.readChronicle<{ mark: string }>(path, { onBadLine: () => {} });
  return events.map(({ mark }) => mark);
}

describe.each(recipes)('the recipe in %s', (_, language, { tool, version, make }) => {
  const there = process.platform !== 'win32' && present('recipes', tool, version);
  let command: string[] = [];
  beforeAll(() => {
    if (there) command = make(programs, recipe(language));
  }, 120_000);

  const start = (path: string) => new Child(String(command[0]), [...command.slice(1), path]);

  async function append(path: string, marks: string[], writer = start(path)): Promise<void> {
    for (const mark of marks) writer.send(JSON.stringify(note(mark)));
    writer.closeInput();
    await endsWell([writer]);
  }

  it.skipIf(!there).each(tails)('appends whole lines behind %s', async (_, tail, marks) => {
    const path = scratch.path('log.sage');
    writeFileSync(path, tail);
    await append(path, ['one', 'two']);
    const bytes = readFileSync(path);
    expect(bytes.subarray(0, tail.length)).toEqual(Buffer.from(tail));
    const glue = tail.length === 0 || tail === `${whole}\n` ? '' : '\n';
    const lines = ['one', 'two'].map((mark) => JSON.parse(JSON.stringify(note(mark))));
    const added = bytes.subarray(tail.length).toString();
    expect(added.startsWith(`${glue}{`) && added.endsWith('}\n')).toBe(true);
    expect(
      added
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(lines);
    await chronicle.append(path, note('three'));
    expect(await marksOf(path)).toEqual([...marks, 'one', 'two', 'three']);
  });

  it.skipIf(!there)('makes the file, and loses nothing beside our appends', async () => {
    const path = scratch.path('log.sage');
    const theirs = ['a', 'b'].map(() => start(path));
    const ours = ['n0', 'n1'].map((client) => startWriter({ path, client, count: 15 }));
    await startTogether(ours);
    await Promise.all(
      theirs.map((writer, w) =>
        append(
          path,
          Array.from({ length: 15 }, (_, n) => `${w}:${n}`),
          writer,
        ),
      ),
    );
    await endsWell(ours);
    const wanted = ['0', '1', 'n0', 'n1'].flatMap((client) =>
      Array.from({ length: 15 }, (_, n) => `${client}:${n}`),
    );
    expect((await marksOf(path)).sort()).toEqual(wanted.sort());
    expect((await chronicle.verifyChronicle(path)).findings).toEqual([]);
  });

  const waitersShow = there && existsSync('/proc/locks');
  it.skipIf(!waitersShow)(
    'waits for our lock, and then writes to the file at the path',
    async () => {
      const path = scratch.path('log.sage');
      await chronicle.append(path, note('old'));
      const lock = await chronicle.lockChronicles([path]);
      const { ino } = statSync(path);
      const writer = start(path);
      writer.send(JSON.stringify(note('late')));
      const waits = new RegExp(`-> FLOCK .*:${ino} `);
      const options = { timeout: 30_000, interval: 5 };
      await vi.waitFor(() => expect(readFileSync('/proc/locks', 'utf8')).toMatch(waits), options);
      expect(await marksOf(path)).toEqual(['old']);
      renameSync(path, `${path}.1`);
      await lock.append(path, note('inside'));
      await lock.release();
      await append(path, ['last'], writer);
      expect(await marksOf(path)).toEqual(['inside', 'late', 'last']);
      expect(readFileSync(`${path}.1`, 'utf8').trim().split('\n')).toHaveLength(1);
    },
  );
});

describe('the recipes', () => {
  it.skipIf(!present('recipes', 'python3'))(
    'lose events without their look at the last byte',
    async () => {
      const blind = recipe('python').replace('!= b"\\n":', '== b"":');
      expect(blind).not.toBe(recipe('python'));
      const folder = scratch.folder();
      const [command = '', ...args] = python.make(folder, blind);
      const path = scratch.path('log.sage');
      writeFileSync(path, whole);
      const writer = new Child(command, [...args, path]);
      writer.send(JSON.stringify(note('lost')));
      writer.closeInput();
      await endsWell([writer]);
      expect(await marksOf(path)).toEqual([]);
    },
  );

  it('without the lock: a line behind a newline of its own harms no other, and none harms it', async () => {
    const path = scratch.path('log.sage');
    for (let n = 0; n < 5; n += 1) {
      await chronicle.append(path, note(`ours:${n}`));
      appendFileSync(path, '{"type":"torn');
      appendFileSync(path, `\n${JSON.stringify(note(`theirs:${n}`))}\n`);
      appendFileSync(path, `\n${JSON.stringify(note(`again:${n}`))}\n`);
    }
    const wanted = Array.from({ length: 5 }, (_, n) => [`ours:${n}`, `theirs:${n}`, `again:${n}`]);
    expect(await marksOf(path)).toEqual(wanted.flat());
  });
});
