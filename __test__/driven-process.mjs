// Calls functions of the package as the lines on its input say; answers each by one line.
import { pbkdf2 } from 'node:crypto';
import { readdirSync, writeSync } from 'node:fs';
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

const own = {
  used,
  lock: async (paths, options) => locks.push(await chronicle.lockChronicles(paths, options)) - 1,
  lockAppend: (number, path, event, options) => locks[number].append(path, event, options),
  unlock: (number) => locks[number].release().then(() => true),
  // One event to each of many logs, all at once; of every so many of them only, where asked.
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
