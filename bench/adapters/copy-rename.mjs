// Each append copies the whole log to a new file, adds its line, syncs the file and renames it
// over the old one. A lock file that is made exclusively protects all of it. Programs do so whose
// file must never be seen half written.
import { copyFile, open as openFile, rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { keysOf, line, lines, oneAtATime, readAll } from './lines.mjs';

export const title = 'copy and rename';

async function lock(path) {
  for (;;) {
    try {
      return await openFile(path, 'wx');
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      await sleep(1);
    }
  }
}

export async function open(path) {
  const inTurn = oneAtATime();
  const next = `${path}.${process.pid}.next`;
  const write = (text) =>
    inTurn(async () => {
      const held = await lock(`${path}.lock`);
      try {
        await copyFile(path, next).catch((error) => {
          if (error.code !== 'ENOENT') throw error;
        });
        const file = await openFile(next, 'a');
        try {
          await file.appendFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(next, path);
      } finally {
        await held.close();
        await rm(`${path}.lock`);
      }
    });
  return {
    append: (event) => write(line(event)),
    appendMany: (events) => write(lines(events)),
    read: async () => readAll(path),
    keys: () => keysOf(path),
    async close() {},
  };
}
