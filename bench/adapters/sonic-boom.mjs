// The stream under pino, with a sync before each flush is answered. No lock: for one process. It
// recognises no duplicates.
import { once } from 'node:events';
import SonicBoom from 'sonic-boom';
import { keysOf, line, lines, readAll } from './lines.mjs';

export const title = 'sonic-boom';

export async function open(path) {
  const stream = new SonicBoom({ dest: path, append: true, sync: false, fsync: true });
  // Each flush under way listens.
  stream.setMaxListeners(0);
  await once(stream, 'ready');
  const write = (text) =>
    new Promise((resolve, reject) => {
      stream.write(text);
      stream.flush((error) => (error ? reject(error) : resolve()));
    });
  return {
    append: (event) => write(line(event)),
    appendMany: (events) => write(lines(events)),
    read: async () => readAll(path),
    keys: () => keysOf(path),
    async close() {
      stream.end();
      await once(stream, 'close');
    },
  };
}
