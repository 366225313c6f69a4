/**
 * Checks what many writers say they did against the file they left behind.
 *
 * Every event carries a `mark` that is its own, so the check is linear in the number of calls but
 * for two sorts. A call that failed or never settled is indeterminate: its event may be there once
 * or not at all.
 */

export interface Placed {
  offset: number;
  length: number;
  seq?: number;
  duplicate?: boolean;
}

export interface Call {
  client: string;
  mark: string;
  /** Nanoseconds of the monotonic clock, which all processes of a machine share. */
  start: bigint;
  /** Absent for a call that never settled. */
  end?: bigint;
  /** `refused` promises that nothing was written; `unknown` promises nothing. */
  outcome: 'acked' | 'refused' | 'unknown';
  receipt?: Placed;
}

export interface Read {
  start: bigint;
  marks: string[];
}

export interface Allowances {
  reads?: Read[];
  /** Complete lines that may be no JSON object: what killed writers left behind. */
  badLines?: number;
}

interface Found extends Placed {
  index: number;
  times: number;
}

/** Sentences about everything that is wrong; empty when the history holds. */
export function checkHistory(calls: Call[], file: Buffer, allowances: Allowances = {}): string[] {
  const problems: string[] = [];
  const { found, marks, bad } = recordsOf(file, problems);
  if (bad.length > (allowances.badLines ?? 0)) {
    problems.push(`${bad.length} bad lines, the first: ${JSON.stringify(bad[0]?.slice(0, 120))}`);
  }
  checkPresence(calls, found, problems);
  checkClientOrder(calls, found, problems);
  checkRealTime(calls, found, problems);
  for (const read of allowances.reads ?? []) checkRead(read, calls, found, marks, problems);
  return problems;
}

function recordsOf(file: Buffer, problems: string[]) {
  const found = new Map<string, Found>();
  const marks: string[] = [];
  const bad: string[] = [];
  let at = 0;
  let seq = 0;
  while (at < file.length) {
    const newline = file.indexOf(0x0a, at);
    const end = newline < 0 ? file.length : newline;
    const text = file.toString('utf8', at, end);
    const event = objectOf(text);
    if (event) {
      seq += 1;
      const mark = String(event.mark);
      const earlier = found.get(mark);
      if (earlier) {
        earlier.times += 1;
        problems.push(`${mark} is in the file more than once`);
      } else {
        found.set(mark, { offset: at, length: end - at, seq, index: marks.length, times: 1 });
      }
      marks.push(mark);
    } else if (newline >= 0 && text.trim() !== '') {
      bad.push(text);
    }
    at = end + 1;
  }
  return { found, marks, bad };
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function checkPresence(calls: Call[], found: Map<string, Found>, problems: string[]): void {
  const called = new Set<string>();
  const mayBeThere = new Set<string>();
  for (const call of calls) {
    called.add(call.mark);
    if (call.outcome !== 'refused') mayBeThere.add(call.mark);
    if (call.outcome !== 'acked') continue;
    const record = found.get(call.mark);
    if (!record) {
      problems.push(`${call.mark} was acknowledged and is not in the file`);
      continue;
    }
    for (const field of ['offset', 'length', 'seq'] as const) {
      const told = call.receipt?.[field];
      if (told !== undefined && told !== record[field]) {
        problems.push(`${call.mark} has ${field} ${record[field]} but its receipt says ${told}`);
      }
    }
  }
  for (const mark of found.keys()) {
    if (!called.has(mark)) problems.push(`${mark} is in the file and nobody appended it`);
    else if (!mayBeThere.has(mark)) problems.push(`${mark} was refused and is in the file`);
  }
}

/** Acknowledged calls that wrote something, with their place. */
function written(calls: Call[], found: Map<string, Found>): Array<Call & { at: number }> {
  return calls.flatMap((call) => {
    const record = found.get(call.mark);
    return call.outcome === 'acked' && !call.receipt?.duplicate && record
      ? [{ ...call, at: record.offset }]
      : [];
  });
}

function checkClientOrder(calls: Call[], found: Map<string, Found>, problems: string[]): void {
  const last = new Map<string, Call & { at: number }>();
  for (const call of written(calls, found).sort((a, b) => compare(a.start, b.start))) {
    const before = last.get(call.client);
    if (before && before.at > call.at) {
      problems.push(
        `${call.client} appended ${before.mark} before ${call.mark}, the file has them reversed`,
      );
    }
    last.set(call.client, call);
  }
}

/** A call that began after another was acknowledged lies behind it in the file. */
function checkRealTime(calls: Call[], found: Map<string, Found>, problems: string[]): void {
  const byStart = written(calls, found).sort((a, b) => compare(a.start, b.start));
  const byEnd = byStart
    .filter((call) => call.end !== undefined)
    .sort((a, b) => compare(a.end ?? 0n, b.end ?? 0n));
  let ended = 0;
  let furthest: (Call & { at: number }) | undefined;
  for (const call of byStart) {
    for (let done = byEnd[ended]; done && (done.end ?? 0n) < call.start; done = byEnd[ended]) {
      if (!furthest || done.at > furthest.at) furthest = done;
      ended += 1;
    }
    if (furthest && furthest.at > call.at) {
      problems.push(
        `${furthest.mark} was acknowledged before ${call.mark} began and lies behind it`,
      );
    }
  }
}

function checkRead(
  read: Read,
  calls: Call[],
  found: Map<string, Found>,
  marks: string[],
  problems: string[],
): void {
  const differs = read.marks.findIndex((mark, index) => mark !== marks[index]);
  if (differs >= 0) {
    problems.push(`a read saw ${read.marks[differs]} where the file has ${marks[differs]}`);
  }
  for (const call of calls) {
    const record = found.get(call.mark);
    if (call.outcome !== 'acked' || call.end === undefined || call.end >= read.start || !record)
      continue;
    if (record.index >= read.marks.length) {
      problems.push(`a read that began after ${call.mark} was acknowledged does not show it`);
      return;
    }
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
