// Tasks that measure a process: memory, threads, descriptors.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { event, events } from '../events.mjs';
import { must } from '../numbers.mjs';
import { longestBlock } from './clock.mjs';

const threads = () => readdirSync('/proc/self/task').length;
const descriptors = () => readdirSync('/proc/self/fd').length;
const status = (field) =>
  Number(
    new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1],
  ) * 1024;

/** Memory now, and the most there ever was, in bytes. */
export const memory = () => ({ rss: status('VmRSS'), peak: status('VmHWM') });

/** A process that has done nothing but begin. */
export async function bare() {
  return { ...memory(), threads: threads(), descriptors: descriptors() };
}

/** Appends to an existing log, and returns the memory. */
export async function writing(open, { path, from, count }) {
  const store = await open(path);
  for (const one of events(count, from)) await store.append(one);
  const used = memory();
  await store.close();
  return used;
}

/**
 * Opens many chronicles and appends to each, `wave` of them at once, and keeps them open.
 * Returns the most memory, threads and descriptors of that time.
 */
export async function many(_open, { folder, count, wave = count }) {
  const { openChronicle } = await import('../../index.mjs');
  const most = { threads: 0, descriptors: 0 };
  const look = () => {
    most.threads = Math.max(most.threads, threads());
    most.descriptors = Math.max(most.descriptors, descriptors());
  };
  const timer = setInterval(look, 5);
  const logs = [];
  const one = async (n) => {
    const log = await openChronicle(join(folder, String(n % 100), `log${n}.sage`));
    await log.append(event(n), { lockTimeoutMs: 600_000 });
    logs.push(log);
  };
  const { longest: block } = await longestBlock(async () => {
    for (let from = 0; from < count; from += wave) {
      const size = Math.min(wave, count - from);
      await Promise.all(Array.from({ length: size }, (_, n) => one(from + n)));
    }
  });
  clearInterval(timer);
  look();
  const used = memory();
  for (const log of logs) must((await log.count()) === 1, 'each log holds one event');
  return { ...used, ...most, block };
}
