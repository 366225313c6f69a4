// Its calls are synchronous: they block the event loop until the disk has answered.
import Database from 'better-sqlite3';

export const title = 'better-sqlite3';

export async function open(path) {
  const database = new Database(path, { timeout: 120_000 });
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec(
    'CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, event TEXT NOT NULL)',
  );
  const insert = database.prepare(
    'INSERT OR IGNORE INTO events (id, type, event) VALUES (?, ?, ?)',
  );
  const add = (event) => insert.run(event.key, event.type, JSON.stringify(event));
  const addMany = database.transaction((events) => events.forEach(add));
  const all = database.prepare('SELECT event FROM events ORDER BY seq').pluck();
  const last = database.prepare('SELECT event FROM events ORDER BY seq DESC LIMIT ?').pluck();
  const ofType = database.prepare('SELECT event FROM events WHERE type = ? ORDER BY seq').pluck();
  const countAll = database.prepare('SELECT count(*) FROM events').pluck();
  const countType = database.prepare('SELECT count(*) FROM events WHERE type = ?').pluck();
  return {
    append: async (event) => add(event),
    // A write transaction from its beginning: a transaction that begins with a read fails when
    // another process writes meanwhile.
    appendMany: async (events) => addMany.immediate(events),
    read: async () => all.all().map((text) => JSON.parse(text)),
    tail: async (n) =>
      last
        .all(n)
        .map((text) => JSON.parse(text))
        .reverse(),
    query: async (type) => ofType.all(type).map((text) => JSON.parse(text)),
    count: async (type) => (type === undefined ? countAll.get() : countType.get(type)),
    async each(meet) {
      for (const text of all.iterate()) meet(JSON.parse(text));
    },
    keys: () => database.prepare('SELECT id FROM events').pluck().all(),
    close: async () => database.close(),
  };
}
