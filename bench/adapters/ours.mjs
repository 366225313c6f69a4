import {
  append,
  appendEvents,
  countEvents,
  queryChronicle,
  readChronicle,
  streamChronicle,
  tailChronicle,
  verifyChronicle,
} from '../../index.mjs';
import { keysOf } from './lines.mjs';

export const title = '@sage/chronicle';

// A hundred processes on a few cores may wait longer than the two seconds of the default.
const patient = { lockTimeoutMs: 120_000 };

export async function open(path) {
  return {
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
  };
}
