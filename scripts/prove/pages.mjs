// node scripts/prove/pages.mjs [--check]: prints the list of mutations into docs/guarantees.md,
// between its markers. `--check` only compares the page with the list.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mutations } from './mutations.mjs';

const page = join(fileURLToPath(new URL('../..', import.meta.url)), 'docs', 'guarantees.md');
const [begin, end] = ['<!-- mutations -->', '<!-- end of mutations -->'];

const fileOf = (test) => test.split('::')[0];
const byFile = new Map();
for (const { name, tests } of mutations) {
  const file = fileOf(tests[0]);
  byFile.set(file, [...(byFile.get(file) ?? []), name]);
}

const rows = [...byFile]
  .sort(([one], [other]) => (one < other ? -1 : 1))
  .map(([file, names]) => `| \`${file}\` | ${names.join('; ')} |`);
const ofRust = mutations.filter(({ tests }) =>
  tests.every((test) => !test.startsWith('__test__/')),
).length;
const list = [
  `${mutations.length} mutations; Rust tests notice ${ofRust} of them.`,
  '',
  '| turns red | taken out |',
  '| --- | --- |',
  ...rows,
].join('\n');

const before = readFileSync(page, 'utf8');
const [from, to] = [before.indexOf(begin), before.indexOf(end)];
if (from < 0 || to < from) throw new Error(`${page} has no ${begin} with its end`);
const after = `${before.slice(0, from)}${begin}\n\n${list}\n\n${before.slice(to)}`;
if (!process.argv.includes('--check')) writeFileSync(page, after);
else if (after !== before) {
  console.error('docs/guarantees.md lists other mutations: node scripts/prove/pages.mjs');
  process.exitCode = 1;
}
