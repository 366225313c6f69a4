// `node scripts/release/rename.mjs @scope/name`: publishes the package under another name.
//
// The name in package.json is the one that counts. The loader and its messages read it there. All
// other files that spell it out (the generated binding.js, tests, examples and pages) are rewritten
// here; `__test__/package-name.spec.ts` keeps the pattern complete. The crate and the diagnostics
// channels have names of their own, which stay.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The name of the file that `npm pack` writes, without the version. */
export const tarballOf = (name) => name.replace(/^@/, '').replace('/', '-');
const scopeOf = (name) => name.split('/')[0];
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The text with another name of the package in all its forms. */
export function renamed(text, from, to) {
  const scope = escaped(scopeOf(from));
  return (
    text
      .replace(new RegExp(`${escaped(from)}(?![\\w.]*\\w)`, 'g'), to)
      // The packages of platforms: the name, a hyphen and the platform.
      .replace(new RegExp(`${escaped(from)}(?=-)`, 'g'), to)
      .replace(new RegExp(`\\b${escaped(tarballOf(from))}(?=-\\d)`, 'g'), tarballOf(to))
      .replace(
        new RegExp(`${scope}(?=:registry=)|(?<=node_modules/)${scope}(?![\\w-])`, 'g'),
        scopeOf(to),
      )
  );
}

/** The committed text files, by paths relative to the root. */
export function textFiles(folder = root) {
  const names = execFileSync('git', ['ls-files', '-z'], { cwd: folder, encoding: 'utf8' });
  const files = names.split('\0').filter((name) => name && !/\.(node|png|sage|ico)$/.test(name));
  return files.map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
}

function rename(to) {
  if (!/^@[a-z0-9~-][a-z0-9._~-]*\/[a-z0-9~-][a-z0-9._~-]*$/.test(to ?? '')) {
    console.error('usage: node scripts/release/rename.mjs @scope/name');
    return 2;
  }
  const { name: from } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  let count = 0;
  for (const { name, text } of textFiles()) {
    const changed = renamed(text, from, to);
    if (changed === text) continue;
    writeFileSync(join(root, name), changed);
    count += 1;
  }
  console.log(`${from} is ${to} in ${count} files; next: npm run format && npm test`);
  return 0;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = rename(process.argv[2]);
}
