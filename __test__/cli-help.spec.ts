import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cli, commands, parse } from './cli';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** A value that each kind of option takes. */
const values: Record<string, string> = {
  MS: '5',
  N: '3',
  TIME: '2026-01-02T03:04:05Z',
  PLACE: 'seq:7',
  HOW: 'os',
  FORMAT: 'csv',
};

function valueOf(name: string, value: string): string {
  if (name === 'on-bad-line') return 'throw';
  return name === 'on-id-reuse' ? 'reject' : (values[value] ?? 'some');
}

/** The words of a shell line without expansions. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
}

describe('the help of the command', () => {
  it('names every command, and the exit codes', async () => {
    const { code, stdout, stderr } = await cli(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const named = [...stdout.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name);
    expect(named).toEqual(commands.map(({ name }) => name));
    const codes = [...stdout.matchAll(/^ {2}(\d) {2}\S/gm)].map(([, digit]) => digit);
    expect(codes).toEqual(['0', '1', '2', '3']);
  });

  it.each(commands.map((command) => [command.name, command] as const))(
    'of %s names the options that it takes, and no others',
    async (name, command) => {
      const { code, stdout } = await cli([name, '--help']);
      expect(code).toBe(0);
      const shown = /\nOptions:\n([\s\S]*?)\n\nExamples:\n/.exec(stdout)?.[1] ?? '';
      const named = [...shown.matchAll(/^ {2}(?:-([a-z]), | {4})--([a-z-]+)(?: ([A-Z]+))?/gm)];
      expect(named.map(([, short, long, value]) => [long, short, value])).toEqual(
        command.options.map((option) => [option.name, option.short, option.value]),
      );
      expect((await cli(['help', name])).stdout).toBe(stdout);
    },
  );

  it.each(commands.map((command) => [command.name, command] as const))(
    'of %s shows examples that it understands',
    (name, command) => {
      expect(command.examples.length).toBeGreaterThan(0);
      const lines = command.examples.flatMap(([line]) => line.split(/ \| | < /));
      const calls = lines.map(wordsOf).filter(([first]) => first === 'chronicle');
      expect(calls.some(([, second]) => second === name)).toBe(true);
      for (const [, second, ...args] of calls) {
        const called = commands.find((each) => each.name === second);
        expect(called && parse(called, args)).toBeDefined();
      }
    },
  );

  it.each(commands.map((command) => [command.name, command] as const))(
    'of %s names no option that is refused',
    (_, command) => {
      const words = command.name === 'lock' ? ['a.sage', '--', 'true'] : ['a.sage'];
      for (const { name, value } of command.options) {
        const option = value === undefined ? [] : [valueOf(name, value)];
        expect(() => parse(command, [`--${name}`, ...option, ...words])).not.toThrow();
      }
    },
  );

  it('is on the standard output, and the version too', async () => {
    expect(await cli(['--version'])).toEqual({
      code: 0,
      stdout: `${manifest.version}\n`,
      stderr: '',
    });
    expect((await cli(['help'])).stdout).toBe((await cli(['-h'])).stdout);
  });
});

describe('a command line that is not understood', () => {
  it.each([
    [[], 'a command is missing', '--help'],
    [['frobnicate'], 'unknown command frobnicate', '--help'],
    [['--positions', 'read'], 'a command comes before --positions', '--help'],
    [['help', 'frobnicate'], 'unknown command frobnicate', '--help'],
    [['read'], 'FILE is missing', 'read --help'],
    [['read', 'a.sage', 'b.sage'], 'unexpected argument b.sage', 'read --help'],
    [['read', 'a.sage', '--frob'], "Unknown option '--frob'", 'read --help'],
    [['read', 'a.sage', '--from', 'seq:0'], '--from must be start, end', 'read --help'],
    [['read', 'a.sage', '--from', 'time:soon'], '--from must be a time', 'read --help'],
    [['read', 'a.sage', '--limit', '1.5'], '--limit must be a whole number', 'read --help'],
    [['query', 'a.sage', '--since', 'soon'], '--since must be a time', 'query --help'],
    [['tail', 'a.sage', '-n', 'x'], '--lines must be a whole number', 'tail --help'],
    [
      ['read', 'a.sage', '--cursor-file', 'c', '--reverse'],
      'neither --from nor --reverse',
      'read --help',
    ],
    [['tail', 'a.sage', '--cursor-file', 'c'], '--cursor-file goes with --follow', 'tail --help'],
    [['append', 'a.sage', '{}', '--timeout=-1'], '--timeout must be a number', 'append --help'],
    [['append', 'a.log', '{}'], 'must end with .sage', 'append --help'],
    [['append', '../a.sage', '{}'], 'cannot contain ..', 'append --help'],
    [
      ['append', 'a.sage', '{}', '--durability', 'x'],
      '--durability must be sync or os',
      'append --help',
    ],
    [['repair', 'a.log'], '--any-extension', 'repair --help'],
    [['export', 'a.sage', '--columns', 'a'], '--columns goes with --format csv', 'export --help'],
    [
      ['export', 'a.sage', '--format', 'xml'],
      '--format must be ndjson or json or csv',
      'export --help',
    ],
    [['lock', 'a.sage'], '-- COMMAND is missing', 'lock --help'],
    [['lock', 'a.sage', '--'], '-- COMMAND is missing', 'lock --help'],
    [['lock', '--', 'true'], 'FILE... is missing', 'lock --help'],
  ])('ends with 2 and a hint: %j', async (args, message, hint) => {
    const { code, stdout, stderr } = await cli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^chronicle: /);
    expect(stderr.endsWith(`Try: chronicle ${hint}\n`)).toBe(true);
  });

  it('is printed as JSON if requested', async () => {
    const { code, stdout, stderr } = await cli(['read', '--json', '--frob', 'a.sage']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(JSON.parse(stderr)).toEqual({
      error: {
        code: 'EUSAGE',
        message: "Unknown option '--frob'",
        hint: 'chronicle read --help',
      },
    });
  });
});

describe('docs/cli.md', () => {
  const page = readFileSync(new URL('../docs/cli.md', import.meta.url), 'utf8');

  it.each(commands.map((command) => [command.name, command] as const))(
    'has a section on %s with its arguments',
    (name, { words }) => {
      expect(page).toContain(`\n## ${name} ${words}\n`);
    },
  );

  it('names every option, and none that there is not', () => {
    const there = new Set(commands.flatMap(({ options }) => options.map((option) => option.name)));
    const named = new Set([...page.matchAll(/--([a-z][a-z-]*)/g)].map(([, option]) => option));
    for (const ofOthers of ['version', 'package']) named.delete(ofOthers);
    expect([...named].sort()).toEqual([...there].sort());
  });
});
