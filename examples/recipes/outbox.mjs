// node outbox.mjs LOG CURSOR_FILE URL: sends each event of a log to a server, at least once and in
// order, also after a kill or a power cut. The server recognises repetitions by the key.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { followBatches } from '@sage/chronicle';

const [log, cursorFile, url] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

async function send(line) {
  const { eventId } = JSON.parse(line);
  const headers = { 'content-type': 'application/json', 'idempotency-key': eventId };
  for (let delay = 50; ; delay = Math.min(delay * 2, 10_000)) {
    const response = await fetch(url, { method: 'POST', headers, body: line }).catch(() => null);
    if (response?.ok) return;
    await wait(delay, undefined, { signal: stop.signal });
  }
}

/** Replaces the file as a whole, so that a kill leaves the old cursor or the new one. */
function save(cursor) {
  writeFileSync(`${cursorFile}.new`, cursor);
  renameSync(`${cursorFile}.new`, cursorFile);
}

function savedPlace() {
  try {
    return { cursor: readFileSync(cursorFile, 'utf8') };
  } catch {
    return 'start';
  }
}

// Synced: nothing is sent that a power cut could still take out of the log.
const batches = followBatches(log, { from: savedPlace(), synced: true, signal: stop.signal });
try {
  for await (const { bytes, cursor } of batches) {
    for (const line of String(bytes).split('\n').filter(Boolean)) await send(line);
    save(cursor);
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
