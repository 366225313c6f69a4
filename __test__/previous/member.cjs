'use strict';

// A process that uses the package installed in a folder: does what its messages ask, answers each.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const folder = process.argv[2];
const chronicle = require(folder);

const follows = [];
const locks = [];

/** Bytes that this process read so far, from the page cache or from a disk. */
const bytesRead = () => Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))[1]);

const calls = {
  version: () => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version,
  append: (path, event, options) => chronicle.append(path, event, options),
  appendMany: (path, events, options) => chronicle.appendEvents(path, events, options),
  /** One after the other, as a program does that awaits each. */
  async appendEach(path, events, options) {
    const receipts = [];
    for (const event of events) receipts.push(await chronicle.append(path, event, options));
    return receipts;
  },
  /** An append, and how many bytes were read meanwhile. */
  async weighed(path, event) {
    const before = bytesRead();
    const receipt = await chronicle.append(path, event);
    return { receipt, read: bytesRead() - before };
  },
  marks: async (path) => (await chronicle.readChronicle(path)).map(({ mark }) => mark),
  async verify(path) {
    const { ok, records, findings } = await chronicle.verifyChronicle(path);
    return { ok, records, findings };
  },
  async repair(path, options) {
    const { repaired, plan } = await chronicle.repairChronicle(path, options);
    return { repaired, kept: plan.kept, removed: plan.removed.length };
  },
  async stream(path, options, count) {
    const marks = [];
    const stream = chronicle.streamChronicle(path, options);
    for await (const { mark } of stream) {
      marks.push(mark);
      if (marks.length === count) break;
    }
    return { marks, cursor: stream.cursor };
  },
  follow: (path, options) => follows.push(chronicle.followChronicle(path, options)) - 1,
  /** The next events of a follow, and its cursor behind them. */
  async take(number, count) {
    const marks = [];
    while (marks.length < count) {
      const { value, done } = await follows[number].next();
      if (done) break;
      marks.push(value.mark);
    }
    return { marks, cursor: follows[number].cursor };
  },
  endFollow: async (number) => void (await follows[number].return()),
  lock: async (paths, options) => locks.push(await chronicle.lockChronicles(paths, options)) - 1,
  lockAppend: (number, path, event) => locks[number].append(path, event),
  unlock: (number) => locks[number].release(),
};

process.on('message', async ({ id, call, args }) => {
  try {
    process.send({ id, value: (await calls[call](...args)) ?? null });
  } catch (error) {
    const { code, message, stack, written } = error;
    process.send({ id, error: { code, message, stack, written } });
  }
});
process.on('disconnect', () => process.exit());
process.send({ id: 'ready' });
