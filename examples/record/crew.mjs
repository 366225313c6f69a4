// The writer processes, as their parent sees them.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('writer.mjs', import.meta.url));

/**
 * Starts a writer on a job; `onReceipt(key, receipt)` is called for each receipt. Returns
 * { kill, ended }. `ended` resolves with the signal that ended the writer or null, and rejects if
 * the writer failed by itself.
 */
export function startWriter(job, onReceipt) {
  const child = fork(program, { serialization: 'advanced' });
  const exited = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code) reject(new Error(`a writer ended with code ${code}`));
      else resolve(signal);
    });
  });
  // Receipts sent before the end may arrive after it, but never after the channel is closed.
  const closed = new Promise((resolve) => child.once('disconnect', resolve));
  const ended = Promise.all([exited, closed]).then(([signal]) => signal);
  child.on('message', ({ receipts }) => {
    for (const [key, receipt] of receipts) onReceipt(key, receipt);
  });
  child.send(job);
  return { kill: () => child.kill('SIGKILL'), ended };
}

/** The items dealt out to `count` writers; `turn` gives each share to another writer. */
export function shares(items, count, turn = 0) {
  return Array.from({ length: count }, (_, writer) =>
    items.filter((_item, index) => (index + turn) % count === writer),
  );
}
