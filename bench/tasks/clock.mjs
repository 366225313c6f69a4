// Times, in microseconds, and how long the event loop was held.
export const microseconds = (since) => Number(process.hrtime.bigint() - since) / 1000;

export async function timed(call) {
  const start = process.hrtime.bigint();
  await call();
  return microseconds(start);
}

/**
 * Runs `call` beside a timer of one millisecond and gives the longest time, in milliseconds, that the timer came late: so
 * long was the event loop held. Rounds with this timer are not timed.
 */
export async function longestBlock(call) {
  let longest = 0;
  let last = performance.now();
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 1);
    last = now;
  };
  const timer = setInterval(look, 1);
  try {
    await call();
    // A block at the very end shows in the next turn only.
    await new Promise((resolve) => setTimeout(resolve, 2));
    look();
  } finally {
    clearInterval(timer);
  }
  return longest;
}
