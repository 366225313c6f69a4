// Reads the tarballs that npm packs.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** The files of a tarball, by their names without the leading folder `package`. */
export function filesIn(path) {
  const bytes = gunzipSync(readFileSync(path));
  const files = new Map();
  for (let at = 0; at + 512 <= bytes.length;) {
    const field = (from, to) => bytes.toString('utf8', at + from, at + to).replace(/\0.*$/s, '');
    const [name, size, kind] = [field(0, 100), parseInt(field(124, 136), 8) || 0, field(156, 157)];
    const full = [field(345, 500), name].filter(Boolean).join('/');
    const from = at + 512;
    // The other kinds are folders and the headers of single files.
    if (full && kind === '0')
      files.set(full.replace(/^package\//, ''), bytes.subarray(from, from + size));
    at = from + 512 * Math.ceil(size / 512);
  }
  return files;
}

/** The package.json of a tarball. */
export function manifestIn(path) {
  const text = filesIn(path).get('package.json');
  if (!text) throw new Error(`${path} has no package.json`);
  return JSON.parse(text.toString('utf8'));
}
