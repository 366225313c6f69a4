// What the types of the subpath `testing` accept and refuse. Checked by tsc only, never run.
import { makeChronicle, matchers, toContainEvent } from '@sage/chronicle/testing';
import type { ChronicleMatchers, MatcherResult, TestChronicle } from '@sage/chronicle/testing';
import type { BuildEvent, ChronicleEvent } from '@sage/chronicle';

export async function tests(build: BuildEvent): Promise<void> {
  const chronicle: TestChronicle = makeChronicle({ clock: { now: () => 'noon' }, baseDir: '/tmp' });
  await chronicle.append('a.sage', { type: 'X', anything: 1 });
  await chronicle.append('a.sage', build);
  const events: ChronicleEvent[] = await chronicle.read('a.sage');
  for await (const event of chronicle.tail('a.sage', 3)) void event.timestamp;
  const paths: string[] = chronicle.getAllPaths();
  const count: number = chronicle.getEventCount('a.sage');
  const found: ChronicleEvent[] = await chronicle.findEvents('a.sage', { planId: 'p' });
  chronicle.clear();
  const result: MatcherResult = toContainEvent(events, { type: 'X', actor: { agent: 'a' } });
  const same: typeof toContainEvent = matchers.toContainEvent;
  // @ts-expect-error no type
  await chronicle.append('a.sage', { anything: 1 });
  // @ts-expect-error no array
  toContainEvent(build, {});
  void [paths, count, found, result, same];
}

interface Assertion<T> extends ChronicleMatchers<T> {
  not: Assertion<T>;
}
export function asserts(expectation: Assertion<void>): void {
  expectation.toContainEvent({ type: 'X' });
  expectation.not.toStampUnsafe();
  expectation.toReconcileChanges('file');
  expectation.toHaltOnContradiction();
  expectation.toMaintainCausalChain();
}
