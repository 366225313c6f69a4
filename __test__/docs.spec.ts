import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { commands, parse, run } from './cli';
import { chronicle, scratchFolder } from './scratch';

const scratch = scratchFolder();
const root = fileURLToPath(new URL('..', import.meta.url));
/** Every page of the repository. */
const pages = ['.', 'bench', 'docs', 'docs/decisions', 'docs/design', 'docs/recipes'].flatMap(
  (folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name)),
);
const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

interface Example {
  name: string;
  code: string;
  /** What its lines say that they print: `console.log(…); // this`. */
  prints: string[];
}

/**
 * The blocks marked `ts run`, with the hidden code before them. Blocks of one section are one
 * program.
 */
function examplesOf(page: string): Example[] {
  return textOf(page)
    .split(/^(?=## )/m)
    .flatMap((section) => {
      const blocks = [...section.matchAll(/^(?:```|<!-- )ts run\n([\s\S]*?)^(?:```|-->)$/gm)];
      if (blocks.length === 0) return [];
      const code = blocks.map(([, block]) => block).join('\n');
      const prints = [...code.matchAll(/^ *console\.log\(.*\); \/\/ (.*)$/gm)].map(
        ([, text]) => text,
      );
      const title = /^## (.*)$/m.exec(section)?.[1] ?? 'the beginning';
      return [{ name: `${page}: ${title}`, code, prints: prints.map(String) }];
    });
}

const examples = pages.flatMap(examplesOf);

/** A project that has this package installed. */
function project(): string {
  const folder = scratch.folder();
  const link = join(folder, 'node_modules', '@sage/chronicle');
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(root, link);
  return folder;
}

describe('the examples of the documentation', () => {
  it('are there', () => {
    const named = examples.map(({ name }) => name);
    expect(named).toContain('README.md: the beginning');
    expect(named.filter((name) => name.startsWith('docs/guide.md')).length).toBeGreaterThan(6);
  });

  it.each(examples.map((example) => [example.name, example] as const))(
    'run, and print what they say: %s',
    async (_, { code, prints }) => {
      const file = join(project(), 'example.mjs');
      const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
      const { outputText } = ts.transpileModule(code, { compilerOptions: options });
      const chdir = `process.chdir(${JSON.stringify(scratch.folder())});\n`;
      writeFileSync(file, chdir + outputText);
      const { code: exit, stdout, stderr } = await run(process.execPath, [file], null);
      expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
      expect(stdout.split('\n').slice(0, -1)).toEqual(prints);
    },
  );

  it('have the right types', () => {
    const folder = project();
    const files = examples.map(({ code }, n) => {
      const file = join(folder, `example${n}.mts`);
      writeFileSync(file, code);
      return file;
    });
    const compiled = ts.createProgram(files, {
      module: ts.ModuleKind.Node16,
      moduleResolution: ts.ModuleResolutionKind.Node16,
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2024.d.ts'],
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
      strict: true,
      noEmit: true,
      skipLibCheck: true,
    });
    const wrong = ts.getPreEmitDiagnostics(compiled).map(({ file, start = 0, messageText }) => {
      const example = examples[files.indexOf(file?.fileName ?? '')];
      const line = file?.getLineAndCharacterOfPosition(start).line ?? 0;
      const source = example?.code.split('\n')[line] ?? '';
      return `${example?.name}: ${source.trim()}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
    expect(wrong).toEqual([]);
  });
});

describe('the shell lines of the documentation', () => {
  const call = /(?<![\w/.=-])chronicle (?=[a-z])([^|&;<#\n]*)/g;
  const callsIn = (code: RegExp) =>
    pages.flatMap((page) =>
      [...textOf(page).matchAll(code)].flatMap(([, text]) =>
        [...String(text).matchAll(call)].map(
          ([line, words]) => [`${page}: ${line.trim()}`, String(words)] as const,
        ),
      ),
    );
  const wordsOf = (text: string) =>
    [...text.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) =>
      String(single ?? double ?? bare),
    );

  const lines = callsIn(/^```sh\n([\s\S]*?)^```$/gm);
  it.each(lines)('are calls that the command understands: %s', (_, text) => {
    const [name, ...args] = wordsOf(text);
    const command = commands.find((one) => one.name === name);
    expect(command && parse(command, args)).toBeDefined();
  });

  it('and its mentions in texts have the names of commands and options', () => {
    const mentions = callsIn(/`(chronicle [^`\n]+)`/g);
    expect(lines.length + mentions.length).toBeGreaterThan(30);
    const wrong = mentions.filter(([, text]) => {
      const [name, ...args] = wordsOf(String(text.split(' -- ')[0]));
      const command = commands.find((one) => one.name === name);
      const options = args.flatMap((arg) => /^--([a-z-]+)/.exec(arg)?.[1] ?? []);
      return options.some((option) => !command?.options.some((one) => one.name === option));
    });
    expect(wrong.map(([line]) => line)).toEqual([]);
  });
});

describe('docs/migration.md', () => {
  const text = textOf('docs/migration.md');
  const names = text.slice(text.indexOf('\n## Names\n'), text.indexOf('\n## Differences\n'));
  // The first cell has one name or several.
  const line = /^\| ((?:`\w+`(?:, )?)+) \|.*`(__test__\/[\w.-]+)` \|$/gm;
  const [differing = [], others = []] = names
    .split('\nThe other ')
    .map((part) =>
      [...part.matchAll(line)].flatMap(([, cell = '', spec = '']) =>
        [...cell.matchAll(/\w+/g)].map(([name]) => [name, spec] as const),
      ),
    );
  const rows = [...differing, ...others];

  it('has the 51 names of the predecessor and the one that it did not export, each once', () => {
    expect(new Set(rows.map(([name]) => name)).size).toBe(rows.length);
    expect(rows).toHaveLength(52);
  });

  it('has the numbers of those that differ, and of the others', () => {
    expect(text).toContain(`These ${differing.length} differ`);
    expect(text).toContain(`The other ${others.length} are as they were`);
  });

  it.each(rows)('%s is exported, and %s is about it', (name, spec) => {
    expect(chronicle).toHaveProperty(name);
    expect(readFileSync(join(root, spec), 'utf8')).toContain(guardless(name));
  });

  it('names no test that is not there', () => {
    const named = [...text.matchAll(/`(__test__\/[\w.-]+)`/g)].map(([, spec]) => String(spec));
    expect(named.filter((spec) => !existsSync(join(root, spec)))).toEqual([]);
  });

  /** The tests of the guards make their names from the types. */
  function guardless(name: string): string {
    const type = /^is(\w+)Event$/.exec(name)?.[1];
    const isGuard = type !== undefined && type !== 'Duplicate';
    return isGuard ? type.replace(/(?!^)([A-Z])/g, '_$1').toUpperCase() : name;
  }
});

describe('docs/api.md', () => {
  const ticked = new Set([...textOf('docs/api.md').matchAll(/`(\w+)/g)].map(([, name]) => name));
  const exported = ['index.d.ts', 'testing.d.ts'].flatMap(exportedNames);
  const ofPredecessor = new Set(exportedNames('types/compat.d.ts'));

  it('has every exported name but those that are kept for callers of the predecessor', () => {
    const wanted = exported.filter((name) => !ofPredecessor.has(name));
    expect(wanted.length).toBeGreaterThan(100);
    expect(wanted.filter((name) => !ticked.has(name))).toEqual([]);
    expect([...ofPredecessor].filter((name) => ticked.has(name))).toEqual([]);
  });

  it('leaves those to docs/migration.md', () => {
    const migration = textOf('docs/migration.md');
    const functions = [...ofPredecessor].filter((name) => name in chronicle);
    expect(functions).toContain('atomicAppendEvent');
    expect(functions.filter((name) => !migration.includes(`| \`${name}\` |`))).toEqual([]);
  });

  it('has in its tables no function that is not exported', () => {
    const rows = [...textOf('docs/api.md').matchAll(/^\| `(\w+)[`(]/gm)].map(([, name]) => name);
    expect(rows.length).toBeGreaterThan(30);
    expect(
      rows.filter((name) => !exported.includes(String(name)) && !/^[A-Z_]+$/.test(String(name))),
    ).toEqual([]);
  });

  /** The names, values and types, that a declaration file exports. */
  function exportedNames(file: string): string[] {
    const program = ts.createProgram([join(root, file)], {
      module: ts.ModuleKind.Node16,
      moduleResolution: ts.ModuleResolutionKind.Node16,
      types: [],
    });
    const checker = program.getTypeChecker();
    const source = program.getSourceFile(join(root, file));
    const symbol = source && checker.getSymbolAtLocation(source);
    if (!symbol) throw new Error(`${file} is no module`);
    return checker.getExportsOfModule(symbol).map(({ name }) => name);
  }
});

describe('docs/guarantees.md', () => {
  it('names no test that is not there', () => {
    const paths = /`((?:__test__|tests|scripts|src)\/[\w./-]+)`/g;
    const [written = ''] = textOf('docs/guarantees.md').split('<!-- mutations -->');
    const named = [...written.matchAll(paths)].map(([, path]) => String(path));
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

describe('docs/guarantees.md, as scripts/prove/pages.mjs prints it,', () => {
  it('lists the mutations of now', async () => {
    const script = join(root, 'scripts/prove/pages.mjs');
    const { stderr } = await run(process.execPath, [script, '--check'], null);
    expect(stderr).toBe('');
  });
});

describe('llms.txt', () => {
  it('has the pages and sections of now', async () => {
    const script = join(root, 'scripts/docs/llms.mjs');
    const { stderr } = await run(process.execPath, [script, '--check'], null);
    expect(stderr).toBe('');
  });
});

describe('docs/debugging.md', () => {
  it('has every variable that tests and scripts read', () => {
    const roots = ['__test__', 'bench', 'scripts', 'tests'];
    const files = roots.flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && /\.(rs|[cm]?[jt]s)$/.test(entry.name))
        .map((entry) => join(entry.parentPath, entry.name))
        .filter((path) => !path.includes('node_modules')),
    );
    const read = /(?:env\.|env::var\("|variable = ')(CHRONICLE_\w+)/g;
    const names = files.flatMap((path) =>
      [...readFileSync(path, 'utf8').matchAll(read)].map(([, name]) => String(name)),
    );
    expect(names).toContain('CHRONICLE_MUTATION');
    const page = textOf('docs/debugging.md');
    expect([...new Set(names)].filter((name) => !page.includes(`| \`${name}=`))).toEqual([]);
  });
});

describe('docs/tools.md', () => {
  it('has the outcomes of each project of users: as a tarball and staged, or from the sources', () => {
    const entries = readdirSync(join(root, '__test__/consumers'), { withFileTypes: true });
    const projects = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    expect(projects.length).toBeGreaterThan(10);
    const only: Record<string, string[]> = {
      workspace: ['sources'],
      member: ['tarball'],
      override: ['tarball'],
    };
    const ways = (name: string) => only[name] ?? ['staged', 'tarball'];
    const wanted = projects.flatMap((name) => ways(name).map((way) => `${name} ${way}`));
    const rows = /^\| ([\w-]+) \|.*\| (\w+) \| passed, .* \|$/gm;
    const told = [...textOf('docs/tools.md').matchAll(rows)].map(
      ([, name, way]) => `${name} ${way}`,
    );
    expect(told.sort()).toEqual(wanted.sort());
  });
});

describe('docs/runtimes.md', () => {
  it('has the versions that scripts/platforms/runtimes.mjs installs', () => {
    const script = readFileSync(join(root, 'scripts/platforms/runtimes.mjs'), 'utf8');
    const installed = [...script.matchAll(/source: '(\w+)@([\d.]+)'/g)];
    expect(installed.map(([, name]) => name)).toEqual(['bun', 'deno']);
    const rows = [...textOf('docs/runtimes.md').matchAll(/^\| (\w+) \| ([\d.]+) \|/gm)];
    const versions = new Map(rows.map(([, name = '', version]) => [name.toLowerCase(), version]));
    for (const [, name = '', version] of installed) expect(versions.get(name)).toBe(version);
  });
});

describe('docs/recipes', () => {
  const folder = 'examples/recipes';
  const shown = pages
    .filter((page) => page.startsWith('docs/recipes/'))
    .flatMap((page) => [
      ...textOf(page).matchAll(/^`examples\/recipes\/([\w.-]+)`:\n\n```js\n([\s\S]*?)^```$/gm),
    ])
    .map(([, name, code]) => [String(name), String(code)] as const);

  it('show every program of examples/recipes', () => {
    expect(shown.map(([name]) => name).sort()).toEqual(readdirSync(join(root, folder)).sort());
  });

  it.each(shown)('show %s as it is', (name, code) => {
    expect(code).toBe(textOf(join(folder, name)));
  });
});

describe('docs/monorepo.md', () => {
  it('has the lines by which a project of users binds the name', () => {
    const folder = '__test__/consumers/override';
    const [, overrides = ''] = textOf(join(folder, 'pnpm-workspace.yaml')).split('packages/*\n');
    expect(textOf('docs/monorepo.md')).toContain(`\`\`\`yaml\n${overrides}\`\`\``);
    expect(textOf('docs/monorepo.md')).toContain(`\`\`\`ini\n${textOf(join(folder, '.npmrc'))}`);
  });
});

describe('README.md', () => {
  const text = textOf('README.md');

  it('has at most 150 lines', () => {
    expect(text.split('\n').length - 1).toBeLessThanOrEqual(150);
  });

  it('has an API table of 12 names, each exported', () => {
    const [, api = ''] = text.split('\n## The API\n');
    const [table = ''] = api.split('\n## ');
    const cells = [...table.matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => String(cell));
    const names = cells.map((cell) => /`(\w+)/.exec(cell)?.[1]);
    expect(names).toContain('append');
    expect(names).toHaveLength(12);
    expect(names.filter((name) => !(String(name) in chronicle))).toEqual([]);
  });
});

describe('the pages', () => {
  it.each(pages)('%s links to what is there', (page) => {
    const links = [...textOf(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, to]) =>
      String(to),
    );
    const local = links.filter((link) => !/^[a-z]+:/.test(link));
    expect(local.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
  });

  it.each(pages)('%s links to sections that are there', (page) => {
    const links = [...textOf(page).matchAll(/\]\(([\w./-]*)#([^)]+)\)/g)];
    const missing = links.filter(([, to, anchor]) => {
      const target = to ? join(dirname(page), to) : page;
      return !anchorsOf(target).includes(String(anchor));
    });
    expect(missing.map(([link]) => link)).toEqual([]);
  });

  it.each(pages)('%s runs no other package of the name of the command', (page) => {
    expect(textOf(page)).not.toMatch(/npx (--yes |-y )?chronicle/);
  });

  it.each(pages)('%s names only files that are there', (page) => {
    const roots =
      'src|lib|types|bin|scripts|tests|__test__|fuzz|shuttle|bench|examples|fixtures|docs';
    const paths = new RegExp(`(?<![@\\w/.-])(?:${roots})/[\\w./-]*\\w(?=\\.?(?:[^\\w*<-]|$))`, 'g');
    const named = [...textOf(page).matchAll(paths)].map(([path]) => path);
    const isMade = (path: string) => /^fuzz\/(artifacts|corpus)/.test(path);
    const missing = named.filter((path) => !isMade(path) && !existsSync(join(root, path)));
    expect([...new Set(missing)]).toEqual([]);
  });

  /** The names that its headings have in links. */
  function anchorsOf(page: string): string[] {
    return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    );
  }
});
