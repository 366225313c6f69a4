// As a log: the events under their number in the order of writing, and the number of each id, by
// which a duplicate is recognised.
import { open as openDatabase } from 'lmdb';

export const title = 'lmdb';

export async function open(path) {
  const root = openDatabase({ path, noSubdir: true, mapSize: 64 * 2 ** 30 });
  const numbers = root.openDB('ids');
  const log = root.openDB('events', { keyEncoding: 'uint32' });
  const last = () => log.getKeys({ reverse: true, limit: 1 }).asArray[0] ?? 0;
  const put = (event) => {
    if (numbers.doesExist(event.key)) return;
    const n = last() + 1;
    numbers.put(event.key, n);
    log.put(n, event);
  };
  const write = async (call) => {
    await root.transaction(call);
    // A write resolves when it is committed; this, when it is on the disk.
    await root.flushed;
  };
  return {
    append: (event) => write(() => put(event)),
    appendMany: (events) => write(() => events.forEach(put)),
    read: async () => log.getRange().map(({ value }) => value).asArray,
    tail: async (n) =>
      log
        .getRange({ reverse: true, limit: n })
        .map(({ value }) => value)
        .asArray.reverse(),
    count: async () => log.getCount(),
    async each(meet) {
      for (const { value } of log.getRange()) meet(value);
    },
    keys: () => numbers.getKeys().asArray,
    close: () => root.close(),
  };
}
