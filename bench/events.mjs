// The events that all contestants write, each in its own form. The `key` is unique and need not
// be computed: contestants that recognise duplicates take it as their id. Ours hashes the event.
import { randomBytes } from 'node:crypto';

export const types = ['NOTE_TAKEN', 'STEP_BEGUN', 'STEP_ENDED', 'FILE_SEEN', 'PLAN_MADE'];
/** One event in a hundred has this type. */
export const rare = 'RARE';
const begin = Date.UTC(2026, 0, 1);

let random = Buffer.alloc(0);

function key() {
  if (random.length < 16) random = randomBytes(16 * 4096);
  const part = random.toString('hex', 0, 16);
  random = random.subarray(16);
  return part;
}

/** The `n`th event of a log. */
export function event(n) {
  return {
    type: n % 100 === 50 ? rare : types[n % 5],
    timestamp: new Date(begin + n * 1000).toISOString(),
    actor: { agent: `agent-${n % 7}`, id: `run-${n % 13}` },
    status: 'success',
    n,
    key: key(),
    tags: ['x', `y${n % 4}`],
  };
}

export const events = (count, from = 0) => Array.from({ length: count }, (_, i) => event(from + i));

/** The instant of the `n`th event, in milliseconds. */
export const timeOf = (n) => begin + n * 1000;
