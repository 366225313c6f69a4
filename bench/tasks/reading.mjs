// Tasks that read. Each says how many events it met, to be compared with how many there are.
import { event, rare } from '../events.mjs';
import { readAll } from '../adapters/lines.mjs';
import { must, quantile } from '../numbers.mjs';
import { longestBlock, timed } from './clock.mjs';

const calls = {
  read: async (store) => (await store.read()).length,
  async each(store) {
    let met = 0;
    await store.each(() => (met += 1));
    return met;
  },
  tail: async (store) => (await store.tail(50)).length,
  query: async (store) => (await store.query(rare)).length,
  countAll: (store) => store.count(),
  countRare: (store) => store.count(rare),
  async verify(store) {
    const { ok, records } = await store.verify();
    must(ok, 'verify finds the log good');
    return records;
  },
};

/** Reads in the way `what` names, `times` times in a row. */
export async function reading(open, { path, what, times = 1, expected, watch }) {
  const store = await open(path);
  return measured(() => calls[what](store), { what, times, expected, watch }).finally(() =>
    store.close(),
  );
}

/** readFile, split, and JSON.parse of each line: what a program does that knows no better. */
export function parsing(_open, { path, times = 1, expected, watch }) {
  const call = async () => readAll(path).length;
  return measured(call, { what: 'JSON.parse of each line', times, expected, watch });
}

async function measured(call, { what, times, expected, watch }) {
  globalThis.gc?.();
  const took = [];
  const all = async () => {
    for (let n = 0; n < times; n += 1) {
      let met;
      took.push(await timed(async () => (met = await call())));
      must(met === expected, `${what} met ${met} of ${expected} events`);
    }
  };
  if (watch) {
    const { longest, own } = await longestBlock(all);
    return { block: longest, own };
  }
  await all();
  return { micros: quantile(took, 0.5) };
}

export async function countOf(open, { path }) {
  const store = await open(path);
  const count = await store.count();
  await store.close();
  return count;
}

/** Makes a store of `count` events. */
export async function fill(open, { path, from = 0, count, size = 10_000 }) {
  const store = await open(path);
  for (let n = from; n < from + count; n += size) {
    const many = Math.min(size, from + count - n);
    await store.appendMany(Array.from({ length: many }, (_, i) => event(n + i)));
  }
  await store.close();
}
