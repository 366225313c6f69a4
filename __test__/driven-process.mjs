// Calls functions of the package as the lines on its input say; answers each by one line.
import { pbkdf2 } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const chronicle = createRequire(import.meta.url)('../index.js');

const used = () => ({
  descriptors: readdirSync('/proc/self/fd').length,
  threads: readdirSync('/proc/self/task').length,
});

/** Locks that were taken for the test, by number. */
const locks = [];
/** Follows that were begun for the test, by number. */
const follows = [];

const marksOf = (bytes) => {
  const lines = bytes.toString().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line).mark);
};

const own = {
  used,
  lock: async (paths, options) => locks.push(await chronicle.lockChronicles(paths, options)) - 1,
  lockAppend: (number, path, event, options) => locks[number].append(path, event, options),
  // What is there now, by batches.
  batches: async (path, options) => {
    const over = new AbortController();
    const onCaughtUp = () => over.abort();
    const asked = { ...options, onCaughtUp, signal: over.signal };
    const marks = [];
    for await (const { bytes } of chronicle.followBatches(path, asked))
      marks.push(...marksOf(bytes));
    return marks;
  },
  followBatches: (path, options) => follows.push(chronicle.followBatches(path, options)) - 1,
  nextBatch: async (number) => {
    const { value } = await follows[number].next();
    return { marks: marksOf(value.bytes), cursor: value.cursor };
  },
  // Syncs the file by a descriptor of its own, then reads it: the sync says that all is well.
  syncAndRead: (path) => {
    const file = openSync(path, 'r');
    fdatasyncSync(file);
    closeSync(file);
    return marksOf(readFileSync(path));
  },
  unlock: (number) => locks[number].release().then(() => true),
  // One event to each of many logs, all at once, or only to every n-th log.
  spread: async (folder, logs, step = 1) => {
    const most = used();
    let duplicates = 0;
    const calls = [];
    for (let n = 0; n < logs; n += step) {
      const path = `${folder}/${n % 100}/log${n}.sage`;
      calls.push(
        chronicle.append(path, blank('same:0'), { lockTimeoutMs: 300_000 }).then((receipt) => {
          duplicates += Number(receipt.duplicate);
          if (n % 50) return;
          const { descriptors, threads } = used();
          most.descriptors = Math.max(most.descriptors, descriptors);
          most.threads = Math.max(most.threads, threads);
        }),
      );
    }
    await Promise.all(calls);
    return { appended: calls.length, duplicates, most };
  },
  poolWork: (jobs) =>
    Promise.all(Array.from({ length: jobs }, () => promisify(pbkdf2)('a', 'b', 100, 32, 'sha256'))),
  // Events too large to be worth sending through the pipe.
  appendLarge: (path, mark, bytes, options) =>
    chronicle.append(path, { ...blank(mark), padding: 'x'.repeat(bytes) }, options),
};

function blank(mark) {
  return {
    type: 'NOTE_TAKEN',
    timestamp: '2026-01-02T03:04:05.678Z',
    actor: { agent: 'test', id: mark.split(':')[0] },
    mark,
  };
}

function plain(error) {
  const { code, message, path, written, waitedMs, holderPid, cause } = error;
  return {
    code,
    message,
    path,
    written,
    waitedMs,
    holderPid,
    cause: cause && { code: cause.code },
  };
}

async function answer({ n, call, args = [] }) {
  try {
    writeSync(1, `${JSON.stringify({ n, ok: await (own[call] ?? chronicle[call])(...args) })}\n`);
  } catch (error) {
    writeSync(1, `${JSON.stringify({ n, error: plain(error) })}\n`);
  }
}

createInterface({ input: process.stdin }).on('line', (line) => answer(JSON.parse(line)));
