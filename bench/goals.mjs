// What is wanted of each measure, and of which workload it is.
const ratio = (id, what, bound) => ({ id, what, unit: 'x', ...bound });

/** All goals, in the order of the report. `most`: not above; `least`: not below. */
export const goals = [
  ratio(
    'sequential/handed',
    'one writer, each awaited, against C that hands each append to a second thread',
    { most: 1.2 },
  ),
  ratio('sequential/plain', 'one writer, each awaited, against the plain C loop', { most: 1.35 }),
  ratio('in-flight/lmdb', '1,000 in flight: times as fast as lmdb', { least: 7 }),
  ratio('in-flight/better-sqlite3', '1,000 in flight: times as fast as better-sqlite3', {
    least: 12,
  }),
  ratio('batches/better-sqlite3', 'batches of 1,000: times as fast as better-sqlite3', {
    least: 5,
  }),
  ratio('batches/append-file', 'batches of 1,000: times as fast as appendFile and fsync', {
    least: 1.2,
  }),
  ratio('processes/10', '10 processes x 50, against C with the sync outside the lock', { most: 2 }),
  ratio('processes/100', '100 processes x 50, against the same', { most: 2 }),
  ratio('processes/100/p99', '100 processes: p99 of an append, against C', { most: 3 }),
  ratio('processes/100/slowest', '100 processes: the slowest append, against C', { most: 4 }),
  ratio('sizes/1000000', 'append into 1,000,000 events, against an empty log', { most: 1.1 }),
  ratio('sizes/10000000', 'append into 10,000,000 events, against an empty log', { most: 1.1 }),
  ratio(
    'cold/1000000/better-sqlite3',
    'first append of a cold process into 1,000,000, with a side index, against better-sqlite3',
    { most: 1 },
  ),
  ratio('cold/10000000/better-sqlite3', 'the same into 10,000,000', { most: 1 }),
  ratio(
    'cold/1000000/newlines',
    'without a side index, 1,000,000: the speed against a C scan for newlines',
    { least: 0.5 },
  ),
  ratio('cold/10000000/newlines', 'the same at 10,000,000', { least: 0.5 }),
  {
    id: 'memory/1000000',
    what: 'memory of a writing process at 1,000,000, over bare Node.js',
    unit: 'MB',
    most: 100,
  },
  {
    id: 'memory/10000000',
    what: 'memory of a writing process at 10,000,000, over bare Node.js',
    unit: 'MB',
    most: 100,
  },
  {
    id: 'memory/10000000/no-index',
    what: 'the same in a process that finds no side index and makes it',
    unit: 'MB',
    most: 100,
  },
  ratio('reading/1000000/read', 'read 1,000,000 into objects, against JSON.parse of each line', {
    most: 1.05,
  }),
  {
    id: 'reading/1000000/block',
    what: 'the longest block of the event loop meanwhile',
    unit: 'ms',
    most: 16,
  },
  {
    id: 'reading/1000000/block/own',
    what: "the longest without V8's collections of garbage",
    unit: 'ms',
    most: 16,
  },
  ratio('reading/1000000/tail', 'the last 50 of 1,000,000, against better-sqlite3', { most: 1 }),
  ratio('reading/1000000/query', 'query with 1 % hits in 1,000,000: times as fast as reading all', {
    least: 10,
  }),
  ratio('reading/1000000/verify', 'verify 1,000,000: the speed against SHA-256 on two threads', {
    least: 0.5,
  }),
  { id: 'many/threads', what: '10,000 chronicles open in one process: threads', unit: '', most: 8 },
  {
    id: 'many/descriptors',
    what: '10,000 chronicles open in one process: descriptors',
    unit: '',
    most: 256,
  },
  {
    id: 'many/memory',
    what: '10,000 chronicles open in one process: memory over bare Node.js',
    unit: 'MB',
    most: 100,
  },
];

export const reached = ({ most, least }, value) =>
  (most === undefined || value <= most) && (least === undefined || value >= least);
