// The contestants that run in Node.js, each loaded when it is first asked for.
//
// An adapter has a `title` and `open(path)`, which returns a store:
//
// - append(event): resolves, or returns, once the event is durable;
// - appendMany(events): the same for a batch that belongs together;
// - keys(): the `key` of every event in the store, to check what was written;
// - close().
//
// Some stores have more: read() of all events, tail(n), query(type), count(type), and each(meet)
// without keeping all.
export const adapters = {
  ours: () => import('./ours.mjs'),
  before: () => import('./before.mjs'),
  'better-sqlite3': () => import('./better-sqlite3.mjs'),
  lmdb: () => import('./lmdb.mjs'),
  'proper-lockfile': () => import('./proper-lockfile.mjs'),
  'sonic-boom': () => import('./sonic-boom.mjs'),
  'append-file': () => import('./append-file.mjs'),
  'copy-rename': () => import('./copy-rename.mjs'),
};
