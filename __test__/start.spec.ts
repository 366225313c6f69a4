// The programs of docs/start.md, compiled and run as the page says.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { Child, endsWell } from './child';
import { scratchFolder } from './scratch';

const scratch = scratchFolder();
const root = fileURLToPath(new URL('..', import.meta.url));
const page = readFileSync(join(root, 'docs/start.md'), 'utf8');
const files = [...page.matchAll(/^`([\w.]+)`:\n\n```\w+\n([\s\S]*?)^```$/gm)].map(
  ([, name, text]) => [String(name), String(text)] as const,
);

function project(): string {
  const folder = scratch.folder();
  const link = (path: string, to: string) => {
    mkdirSync(dirname(join(folder, 'node_modules', path)), { recursive: true });
    symlinkSync(to, join(folder, 'node_modules', path));
  };
  link('@sage/chronicle', root);
  link('@types/node', join(root, 'node_modules', '@types', 'node'));
  link('undici-types', join(root, 'node_modules', 'undici-types'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
  return folder;
}

/** What `npx tsc` does and prints. */
function compile(folder: string): string[] {
  const { config } = ts.readConfigFile(join(folder, 'tsconfig.json'), ts.sys.readFile);
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, folder);
  const program = ts.createProgram(fileNames, { ...options, strict: true, skipLibCheck: true });
  const { diagnostics } = program.emit();
  return [...ts.getPreEmitDiagnostics(program), ...diagnostics].map(({ messageText }) =>
    ts.flattenDiagnosticMessageText(messageText, ' '),
  );
}

it('docs/start.md: its agents compile, run, survive a kill and end as the page says', async () => {
  const folder = project();
  expect(files.map(([name]) => name)).toEqual([
    'tsconfig.json',
    'events.ts',
    'agent.ts',
    'watch.ts',
    'ask.ts',
  ]);
  expect(compile(folder)).toEqual([]);

  const start = (name: string, ...args: string[]) =>
    new Child('/bin/sh', [
      '-c',
      'cd "$0" && exec "$@"',
      folder,
      process.execPath,
      `dist/${name}.js`,
      ...args,
    ]);
  const watch = start('watch');
  const [a, b] = [start('agent', 'a'), start('agent', 'b')];
  const log = join(folder, '.sage', 'tasks.sage');
  const has = () => {
    try {
      return readFileSync(log, 'utf8').includes('"a task 5"');
    } catch {
      return false;
    }
  };
  await expect.poll(has, { interval: 1, timeout: 30_000 }).toBe(true);
  a.kill('SIGKILL');
  await a.ended;
  const again = start('agent', 'a');
  await endsWell([again, b, watch]);
  expect(again.lines[0]).toMatch(/^a: \d+ new tasks$/);
  const printed = /wherever agent a was killed:\n\n```\n([\s\S]*?)```/.exec(page)?.[1];
  expect(watch.lines.join('\n')).toBe(printed?.trim());

  const ask = start('ask');
  await endsWell([ask]);
  const [, said] = /console\.log\(latest.*\); \/\/ (.*)\n/.exec(page) ?? [];
  expect(ask.lines[0]).toBe(said);
});
