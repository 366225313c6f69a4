// The name in package.json is the only one: publishing under another name is one command.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renamed, tarballOf, textFiles } from '../scripts/release/rename.mjs';
import { present } from './scratch';
import { folder, thrown } from './support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { name, napi } = manifest;
const hasGit = present('git', 'git');
const files = hasGit ? textFiles(root) : [];

describe.skipIf(!hasGit)('the name of the package', () => {
  it('stands once in package.json, and again only where the tool of the addon reads it', () => {
    expect(napi.packageName).toBe(name);
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
    expect([lock.name, lock.packages[''].name]).toEqual([name, name]);
  });

  it('is read from package.json by the product, not spelled out in its code', () => {
    const code = files.filter(({ name: file }) =>
      /^(lib|bin)\/|^(index|testing)\.m?js$/.test(file),
    );
    expect(code.length).toBeGreaterThan(40);
    expect(code.filter(({ text }) => text.includes(name)).map(({ name: file }) => file)).toEqual(
      [],
    );
  });

  it('has no form that a rename leaves', () => {
    const left = files
      .filter(({ name: file }) => !/previous(-test)?\.mjs$/.test(file))
      .filter(({ text }) => renamed(text, name, '@else/events').includes(name.split('/')[0]!))
      .map(({ name: file }) => file);
    // Tests of paths below node_modules join the parts of the name.
    expect(left).toEqual([]);
  });

  it('is another one after one command, and the package loads by that name', () => {
    const copy = join(folder(), 'copy');
    for (const { name: file } of files) {
      mkdirSync(dirname(join(copy, file)), { recursive: true });
      cpSync(join(root, file), join(copy, file));
    }
    for (const addon of readdirSync(root).filter((file) => file.endsWith('.node'))) {
      cpSync(join(root, addon), join(copy, addon));
    }
    const git = (...args: string[]) => execFileSync('git', args, { cwd: copy, stdio: 'pipe' });
    git('init', '-q');
    git('add', '-A');
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    const output = execFileSync(
      process.execPath,
      [join(copy, 'scripts', 'release', 'rename.mjs'), '@else/events'],
      { encoding: 'utf8' },
    );
    expect(output).toContain(`${name} is @else/events in `);
    const loaded = createRequire(join(copy, 'index.js'))('@else/events');
    expect(Object.keys(loaded)).toContain('append');
    const packed = execFileSync(
      'npm',
      ['pack', '--silent', '--dry-run', '--ignore-scripts', '--json'],
      { cwd: copy, encoding: 'utf8' },
    );
    expect(JSON.parse(packed)[0].filename).toBe(`else-events-${manifest.version}.tgz`);
  });
});

describe('a rename', () => {
  it('changes names of platforms and tarballs too, and no longer name that begins alike', () => {
    const text =
      "'@a/b' @a/b-linux-x64-gnu @a/b/testing @a/book a-b-1.2.3.tgz @a:registry=x node_modules/@a";
    expect(renamed(text, '@a/b', '@c/d')).toBe(
      "'@c/d' @c/d-linux-x64-gnu @c/d/testing @a/book c-d-1.2.3.tgz @c:registry=x node_modules/@c",
    );
    expect(tarballOf('@a/b')).toBe('a-b');
  });

  it('refuses what is no name of a package', () => {
    const script = join(root, 'scripts', 'release', 'rename.mjs');
    const run = (...args: string[]) =>
      execFileSync(process.execPath, [script, ...args], { stdio: 'pipe' });
    for (const bad of [[], ['Not A Name'], ['@scope/'], ['../x'], ['plain']]) {
      expect(thrown(() => run(...bad))).toMatchObject({ status: 2 });
    }
  });
});
