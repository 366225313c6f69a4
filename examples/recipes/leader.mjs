// node leader.mjs LOG NAME: one of many processes is the leader for a term. A leader that does not
// renew its lease in time is replaced. All processes share one clock.
import { setTimeout as wait } from 'node:timers/promises';
import { append, isChronicleError, tailChronicle } from '@sage/chronicle';

const [log, name, leaseText = '500'] = process.argv.slice(2);
const leaseMs = Number(leaseText);

/** The last record of the log: the lease that holds, or held. */
async function lastLease() {
  const [last] = await tailChronicle(log, 1);
  return last ?? { eventId: null, leader: null, term: 0, until: 0 };
}

/** Appends a lease behind the one that was seen. Returns null if another process was faster. */
async function claim(seen, term) {
  const now = Date.now();
  const lease = {
    type: 'LEASE_TAKEN',
    timestamp: new Date(now).toISOString(),
    actor: { agent: 'leader', id: name },
    leader: name,
    term,
    until: now + leaseMs,
  };
  try {
    const { eventId } = await append(log, lease, { expectedTail: seen.eventId });
    return { ...lease, eventId };
  } catch (error) {
    if (isChronicleError(error, 'ECONFLICT')) return null;
    throw error;
  }
}

async function lead(lease) {
  // The term is the fencing token: a store that is written to refuses lower terms.
  console.log(`leads ${lease.term}`);
  for (let held = lease; held && Date.now() < held.until; held = await claim(held, held.term)) {
    await wait(leaseMs / 4);
  }
  console.log(`lost ${lease.term}`);
}

for (;;) {
  const seen = await lastLease();
  if (Date.now() < seen.until) await wait(seen.until - Date.now());
  else {
    const lease = await claim(seen, seen.term + 1);
    if (lease) await lead(lease);
  }
}
