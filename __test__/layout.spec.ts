import { readFileSync, readdirSync } from 'node:fs';
import { dirname, posix, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const lib = fileURLToPath(new URL('../lib/', import.meta.url));

/**
 * The parts of `lib/` in the order of dependence: a file imports from its own part and from parts
 * that come before it. A folder covers the files that lie directly in it; a file that has a line of
 * its own is a part of its own. The parts of one line do not know each other.
 */
const order = [
  ['binding'],
  ['event'],
  ['append'],
  ['read'],
  ['check'],
  ['handle'],
  ['compat.js', 'testing'],
  ['index.js'],
  ['cli'],
  ['cli/commands'],
  ['cli/main.js'],
];
const parts = order.flat();

const files = readdirSync(lib, { recursive: true, encoding: 'utf8' })
  .map((name) => name.split(sep).join('/'))
  .filter((name) => name.endsWith('.js'))
  .sort();
const sources = new Map(files.map((file) => [file, readFileSync(lib + file, 'utf8')]));

const partOf = (file: string): string =>
  parts.find((part) => part === file) ?? parts.find((part) => part === dirname(file)) ?? 'none';
const rankOf = (part: string): number => order.findIndex((line) => line.includes(part));

/** What a file requires, as paths below `lib/`; a path with `..` at its front lies outside. */
const importsOf = (file: string): string[] =>
  [...sources.get(file)!.matchAll(/\brequire\(\s*'(\.[^']*)'\s*\)/g)].map(([, path]) =>
    posix.join(dirname(file), path!),
  );

/** The first circle that is found on the way from `file`, or nothing. */
function circleFrom(file: string, way: string[], done: Set<string>): string[] {
  if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
  if (done.has(file)) return [];
  for (const imported of importsOf(file).filter((path) => sources.has(path))) {
    const circle = circleFrom(imported, [...way, file], done);
    if (circle.length > 0) return circle;
  }
  done.add(file);
  return [];
}

describe('the layout of lib', () => {
  it('gives every file a part, and every part a file', () => {
    expect(files.filter((file) => partOf(file) === 'none')).toEqual([]);
    expect(parts.filter((part) => !files.some((file) => partOf(file) === part))).toEqual([]);
  });

  it('has no import of a part that comes later', () => {
    const against = files.flatMap((file) => {
      const from = partOf(file);
      return importsOf(file)
        .filter((path) => sources.has(path))
        .filter((path) => partOf(path) !== from && rankOf(partOf(path)) >= rankOf(from))
        .map((path) => `${file} -> ${path}`);
    });
    expect(against).toEqual([]);
  });

  it('has no circle of imports', () => {
    const done = new Set<string>();
    expect(files.map((file) => circleFrom(file, [], done)).filter((way) => way.length > 0)).toEqual(
      [],
    );
  });

  it('reaches only files that are there, and outside of it only the manifest and the binding', () => {
    const elsewhere = files.flatMap((file) =>
      importsOf(file)
        .filter((path) => !sources.has(path))
        .map((path) => `${file} -> ${path}`),
    );
    expect(elsewhere).toEqual([
      'binding/native.js -> ../package.json',
      'binding/native.js -> ../binding.js',
    ]);
  });

  it('names every import by a literal, but for the package of the addon', () => {
    const computed = files.filter((file) => /\brequire\(\s*[^\s']/.test(sources.get(file)!));
    expect(computed).toEqual(['binding/native.js']);
  });
});
