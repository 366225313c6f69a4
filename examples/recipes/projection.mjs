// node projection.mjs LOG STATE_FILE: the balance of each account, kept up to date. State and
// cursor are in one file, which is replaced as a whole: no event is counted twice or left out.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { followChronicle } from '@sage/chronicle';

const [log, stateFile] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

function load() {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8'));
  } catch {
    return { cursor: null, balances: {} };
  }
}

const { cursor, balances } = load();
let unsaved = 0;

function save() {
  if (unsaved === 0) return;
  writeFileSync(`${stateFile}.new`, JSON.stringify({ cursor: events.cursor, balances }));
  renameSync(`${stateFile}.new`, stateFile);
  unsaved = 0;
}

const events = followChronicle(log, {
  from: cursor ? { cursor } : 'start',
  where: { type: 'BALANCE_CHANGED' },
  signal: stop.signal,
  onCaughtUp: () => {
    save();
    console.log('caught up');
  },
});
for await (const { account, amount } of events) {
  balances[account] = (balances[account] ?? 0) + amount;
  unsaved += 1;
  // Once it follows what comes, each event is saved; history is saved in pieces.
  if (events.live || unsaved >= 100) save();
}
save();
