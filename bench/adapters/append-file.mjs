// appendFile and fsync, and nothing else: no lock, no ids. Many programs do this. It is a limit
// for those that do more.
import { open as openFile } from 'node:fs/promises';
import { keysOf, line, lines, readAll } from './lines.mjs';

export const title = 'appendFile + fsync';

export async function open(path) {
  const file = await openFile(path, 'a');
  const write = async (text) => {
    await file.appendFile(text);
    await file.sync();
  };
  return {
    append: (event) => write(line(event)),
    appendMany: (events) => write(lines(events)),
    read: async () => readAll(path),
    keys: () => keysOf(path),
    close: () => file.close(),
  };
}
