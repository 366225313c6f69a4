// Writes llms.txt, an index of the pages for programs that read documentation: title and sections
// of each page, and the first example.
//
// Usage: node scripts/docs/llms.mjs [--check]   (only reports whether it is up to date)
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../test/setup.mjs';

/** The pages of the index, by subject. What is left of docs/ follows them. */
const groups = {
  'Use it': [
    'start',
    'guide',
    'options',
    'api',
    'cli',
    'handle',
    'checking',
    'repair',
    'locks',
    'diagnostics',
    'faq',
  ],
  Recipes: readdirSync(join(root, 'docs/recipes'))
    .filter((name) => name !== 'README.md')
    .map((name) => `recipes/${name.replace('.md', '')}`),
  'Where it runs': ['runtimes', 'platforms', 'tools', 'monorepo', 'git'],
  Reference: [
    '../FORMAT',
    'guarantees',
    'performance',
    'versioning',
    'upgrading',
    'migration',
    '../SECURITY',
    '../CHANGELOG',
  ],
};
const named = new Set(Object.values(groups).flat());
const rest = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => name.replace('.md', ''))
  .filter((name) => !named.has(name));

const textOf = (path) => readFileSync(join(root, path), 'utf8');
const withoutCode = (text) => text.replace(/^```[\s\S]*?^```$/gm, '');
const headings = (text, level) =>
  [...withoutCode(text).matchAll(new RegExp(`^${level} (.*)$`, 'gm'))].map(([, title]) => title);

function entry(name) {
  const path = join('docs', `${name}.md`);
  const text = textOf(path);
  const [title] = headings(text, '#');
  const sections = headings(text, '##').slice(0, 20).join('; ');
  return `- [${title}](${path})${sections && `: ${sections}`}`;
}

const readme = textOf('README.md');
const [, summary] = /^# .*\n\n([\s\S]*?)\n\n/.exec(readme);
const [, example] = /^```ts run\n([\s\S]*?)^```$/m.exec(readme);
const { name, version } = JSON.parse(textOf('package.json'));
const parts = Object.entries({ ...groups, 'For maintainers': ['../ARCHITECTURE', ...rest] });
const text = `# ${name}

> ${summary}

Version ${version}. Every error is a \`ChronicleError\` with a stable \`code\`. Functions that return a promise never throw. Types are in \`types/\`.

\`\`\`ts
${example}\`\`\`

${parts.map(([title, names]) => `## ${title}\n\n${names.map(entry).join('\n')}`).join('\n\n')}
`;

const path = join(root, 'llms.txt');
const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
if (!process.argv.includes('--check')) writeFileSync(path, text);
else if (before !== text) {
  console.error('llms.txt is not of these pages; node scripts/docs/llms.mjs writes it');
  process.exitCode = 1;
}
