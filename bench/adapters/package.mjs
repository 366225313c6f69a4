// A built package of ours: this one, or another one to compare it with.
import { keysOf } from './lines.mjs';

/** The variable by which the folder of another build comes to the contestants. */
export const variable = 'CHRONICLE_BENCH_AGAINST';

// A hundred processes on a few cores may wait longer than the two seconds of the default.
const patient = { lockTimeoutMs: 120_000 };

/** The adapter for what `index.mjs` of a package exports. */
export function adapterOf(chronicle) {
  const { append, appendEvents, countEvents, queryChronicle } = chronicle;
  const { readChronicle, streamChronicle, tailChronicle, verifyChronicle } = chronicle;
  return async (path) => ({
    append: (event) => append(path, event, patient),
    appendMany: (events) => appendEvents(path, events, patient),
    read: () => readChronicle(path),
    tail: (n) => tailChronicle(path, n),
    query: (type) => queryChronicle(path, { type }),
    count: (type) => countEvents(path, type === undefined ? {} : { type }),
    async each(meet) {
      for await (const event of streamChronicle(path)) meet(event);
    },
    verify: () => verifyChronicle(path),
    keys: () => keysOf(path),
    async close() {},
  });
}
