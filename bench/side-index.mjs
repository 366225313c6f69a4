// The reach of the side index of a log.
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export const sideIndexOf = (path) => join(dirname(path), `.${basename(path)}.chronicle-index`);

/**
 * The bytes of the log that its side index covers: the fourth number of the header of its last
 * part.
 */
export function covered(path) {
  if (!existsSync(sideIndexOf(path))) return 0;
  const file = openSync(sideIndexOf(path), 'r');
  const header = Buffer.alloc(64);
  let [covered, at] = [0, 0];
  try {
    while (
      readSync(file, header, 0, 64, at) === 64 &&
      header.toString('latin1', 0, 8) === 'SAGECHIX'
    ) {
      const [end, blocks, meta] = [32, 48, 56].map((field) =>
        Number(header.readBigUInt64LE(field)),
      );
      covered = end;
      at += 4096 * (1 + blocks) + meta;
    }
    return covered;
  } finally {
    closeSync(file);
  }
}
