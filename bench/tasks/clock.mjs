// Times, in microseconds, and how long the event loop was held.
export const microseconds = (since) => Number(process.hrtime.bigint() - since) / 1000;

export async function timed(call) {
  const start = process.hrtime.bigint();
  await call();
  return microseconds(start);
}

/**
 * Runs `call` beside a timer of one millisecond, and returns the longest delay of the timer in
 * milliseconds: the longest time that the event loop was held. `own` is the longest delay without
 * V8's collections of garbage in it. Rounds with this timer are not timed.
 */
export async function longestBlock(call) {
  const blocks = [];
  const collections = [];
  const collected = (list) => collections.push(...list);
  const observer = new PerformanceObserver((list) => collected(list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    blocks.push({ from: last, to: now });
    last = now;
  };
  const timer = setInterval(look, 1);
  try {
    await call();
    // A block at the very end shows in the next turn only.
    await new Promise((resolve) => setTimeout(resolve, 2));
    look();
    clearInterval(timer);
    // Collections are reported some turns later.
    await new Promise((resolve) => setTimeout(resolve, 50));
  } finally {
    clearInterval(timer);
    collected(observer.takeRecords());
    observer.disconnect();
  }
  const held = ({ from, to }) => Math.max(0, to - from - 1);
  const longest = Math.max(...blocks.map(held));
  const collecting = new Map(blocks.map((block) => [block, 0]));
  for (const { startTime, duration } of collections) {
    const block = blocks.find(({ from, to }) => from <= startTime && startTime < to);
    if (block) collecting.set(block, collecting.get(block) + duration);
  }
  const own = Math.max(...blocks.map((block) => held(block) - collecting.get(block)), 0);
  return { longest, own };
}
