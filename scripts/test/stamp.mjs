// Stamps under .setup/ remember the contents that a step last succeeded with.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

/**
 * All files below the given paths (files or folders of `root`), sorted. A missing path has none.
 */
export function filesBelow(root, paths) {
  const found = [];
  const visit = (path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return;
    if (stat.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
    else found.push(path);
  };
  for (const path of paths) visit(join(root, path));
  return found.sort();
}

/** One hash over names and contents of files, and over the text `extra`. */
export function contentHash(root, paths, extra = '') {
  const hash = createHash('sha256').update(`${extra}\0`);
  for (const file of filesBelow(root, paths)) {
    const bytes = readFileSync(file);
    hash.update(`${relative(root, file).split(sep).join('/')}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** The text kept under a name, or null. */
export function readStamp(folder, name) {
  try {
    return readFileSync(join(folder, name), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Keeps a text under a name. */
export function writeStamp(folder, name, text) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), text);
}
