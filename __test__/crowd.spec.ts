import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Child, endsWell, startTogether } from './child';
import { checkHistory, type Call } from './history';
import { isLong, scratchFolder } from './scratch';
import { ackedIn, callsOf } from './writer';

const scratch = scratchFolder();

// Two hundred processes take a minute to start on two cores: only where there is time for that.
const processes = isLong ? 100 : 10;
const threads = isLong ? 100 : 40;

interface Member {
  path: string;
  /** A writer has a name. */
  client?: string;
  count: number;
}

function members(
  path: string,
  writers: number,
  readers: number,
  appends: number,
  reads: number,
): Member[] {
  const write = Array.from({ length: writers }, (_, n) => ({
    path,
    client: `w${n}`,
    count: appends,
  }));
  const read = Array.from({ length: readers }, () => ({ path, count: reads }));
  return [...write, ...read];
}

async function play(jobs: object[]): Promise<string[]> {
  const children = jobs.map((job) => Child.program('crowd-member.mjs', JSON.stringify(job)));
  await startTogether(children);
  await endsWell(children, 240_000);
  return children.flatMap((child) => child.lines);
}

/** Checks that every read was the beginning of the file, and the writers' history. */
function check(path: string, told: string[], appends: number, reads: number): void {
  const file = readFileSync(path);
  const marks = file
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line): string => JSON.parse(line).mark);
  const seen = told.filter((line) => line.startsWith('["read"'));
  expect(seen).toHaveLength(reads);
  for (const line of seen) {
    const [, count, hash] = JSON.parse(line) as [string, number, string];
    const prefix = marks.slice(0, count).join('\n');
    expect(createHash('sha256').update(prefix).digest('hex')).toBe(hash);
  }
  const child = { lines: told.filter((line) => !line.startsWith('["read"')) } as Child;
  const calls: Call[] = callsOf('', child).map((call) => ({
    ...call,
    client: call.mark.split(':')[0] ?? '',
  }));
  expect(ackedIn(calls)).toHaveLength(appends);
  expect(checkHistory(calls, file)).toEqual([]);
}

describe('every read is the beginning of the file', () => {
  it(`beside one writer and ${processes} readers in processes`, async () => {
    const path = scratch.path('log.sage');
    check(path, await play(members(path, 1, processes, 200, 3)), 200, processes * 3);
  }, 300_000);

  it(`beside one writer and ${threads} readers in worker threads of one process`, async () => {
    const path = scratch.path('log.sage');
    check(path, await play([{ jobs: members(path, 1, threads, 200, 3) }]), 200, threads * 3);
  }, 300_000);

  it(`beside ${processes} writers and as many readers in processes`, async () => {
    const path = scratch.path('log.sage');
    const jobs = members(path, processes, processes, 5, 3);
    check(path, await play(jobs), processes * 5, processes * 3);
  }, 300_000);

  it(`beside ${threads} writers and as many readers in worker threads of one process`, async () => {
    const path = scratch.path('log.sage');
    const jobs = members(path, threads, threads, 5, 3);
    check(path, await play([{ jobs }]), threads * 5, threads * 3);
  }, 300_000);
});
