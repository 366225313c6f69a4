import { Child } from './child';
import type { Call, Placed } from './history';

export interface Job {
  path: string;
  client: string;
  /** The number of events; without it the writer runs until it gets `stop` or is killed. */
  count?: number;
  /** How many appends are under way at a time. */
  inFlight?: number;
  /** Bytes of filler in each event. */
  filler?: number;
  /** Each client appends these marks instead of its own. */
  marks?: string[];
  options?: Record<string, unknown>;
  /** A failed append is reported and does not end the writer. */
  mayFail?: boolean;
}

export function startWriter(job: Job): Child {
  return Child.program('writer-process.mjs', JSON.stringify(job));
}

type Told = ['call', string, string] | ['done', string, string, Call['outcome'], Placed?];

/** What a writer, ours or the Python one, said it did. */
export function callsOf(client: string, child: Child): Call[] {
  const calls = new Map<string, Call>();
  for (const line of child.lines) {
    if (!line.startsWith('[')) continue;
    const told = JSON.parse(line) as Told;
    const [, mark, at] = told;
    if (told[0] === 'call') {
      calls.set(mark, { client, mark, start: BigInt(at), outcome: 'unknown' });
      continue;
    }
    const call = calls.get(mark);
    if (!call) throw new Error(`${mark} settled and was never called`);
    calls.set(mark, { ...call, end: BigInt(at), outcome: told[3], receipt: told[4] });
  }
  return [...calls.values()];
}

export function ackedIn(calls: Call[]): Call[] {
  return calls.filter((call) => call.outcome === 'acked');
}

/** Waits until each writer has that number of further acknowledged appends. */
export async function moreAcks(writers: Child[], count: number): Promise<void> {
  await Promise.all(
    writers.map((writer) => {
      const wanted = acksOf(writer) + count;
      return writer.until(() => acksOf(writer) >= wanted);
    }),
  );
}

function acksOf(writer: Child): number {
  return writer.lines.filter((line) => line.includes('"acked"')).length;
}
