// Medians and spreads.
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at));
}

export const median = (values) => quantile(values, 0.5);

export const summary = (values) => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
});

export function must(good, what) {
  if (!good) throw new Error(`wrong outcome: ${what}`);
}

/** Throws unless the keys in a store are the expected ones, each once. */
export function mustHold(keys, expected, what) {
  must(
    keys.length === expected.length,
    `${what} holds ${keys.length} of ${expected.length} events`,
  );
  const there = new Set(keys);
  must(there.size === keys.length, `${what} holds an event twice`);
  for (const key of expected) must(there.has(key), `${what} lacks an event`);
}
