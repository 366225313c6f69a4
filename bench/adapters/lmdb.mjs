// Keyed by the id, so that it knows a duplicate; it therefore keeps no order of writing, and has no last n.
import { open as openDatabase } from 'lmdb';

export const title = 'lmdb';

export async function open(path) {
  const database = openDatabase({ path, noSubdir: true, mapSize: 16 * 2 ** 30 });
  const put = (event) => database.ifNoExists(event.key, () => void database.put(event.key, event));
  return {
    async append(event) {
      await put(event);
      // A write resolves when it is committed; this, when it is on the disk.
      await database.flushed;
    },
    async appendMany(events) {
      await database.transaction(() => {
        for (const event of events) {
          if (!database.doesExist(event.key)) database.put(event.key, event);
        }
      });
      await database.flushed;
    },
    read: async () => [...database.getRange().map(({ value }) => value)],
    count: async () => database.getCount(),
    async each(meet) {
      for (const { value } of database.getRange()) meet(value);
    },
    keys: () => [...database.getKeys()],
    close: () => database.close(),
  };
}
