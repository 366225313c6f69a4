// A lock folder beside the file, then appendFile and fdatasync. Knows no duplicates.
import { open as openFile } from 'node:fs/promises';
import lockfile from 'proper-lockfile';
import { keysOf, line, lines, oneAtATime, readAll } from './lines.mjs';

export const title = 'proper-lockfile';

const retries = { retries: 100_000, factor: 1, minTimeout: 1, maxTimeout: 5 };

export async function open(path) {
  const inTurn = oneAtATime();
  const file = await openFile(path, 'a');
  const write = (text) =>
    inTurn(async () => {
      const release = await lockfile.lock(path, { retries, stale: 60_000 });
      try {
        await file.appendFile(text);
        await file.datasync();
      } finally {
        await release();
      }
    });
  return {
    append: (event) => write(line(event)),
    appendMany: (events) => write(lines(events)),
    read: async () => readAll(path),
    keys: () => keysOf(path),
    close: () => file.close(),
  };
}
