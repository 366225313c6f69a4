// What the types of the checks accept, refuse and narrow. Checked by tsc only, never run.
import {
  appendWithCausalChain,
  buildCausalChain,
  computeChronicleHash,
  eventsAreIdentical,
  filterEventsByType,
  findDuplicateEvents,
  getChainTail,
  getCompleteChain,
  getEventType,
  hasEventFields,
  validateCausalChain,
  verifyChronicle,
} from '@sage/chronicle';
import type {
  BuildEvent,
  ChainLink,
  ChainValidationResult,
  ChronicleEvent,
  Finding,
  FindingKind,
  Verification,
} from '@sage/chronicle';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_equal: Equal<A, B>): void {}

const envelope = { timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'sage', id: 'one' } };

export async function compares(events: ChronicleEvent[], value: unknown): Promise<void> {
  const hash: string = await computeChronicleHash(events);
  const identical: boolean = eventsAreIdentical({ a: 1 }, { a: 1 });
  const groups = findDuplicateEvents(events);
  same<typeof groups, Map<string, ChronicleEvent[]>>(true);
  const builds = filterEventsByType(events, 'BUILD');
  same<typeof builds, BuildEvent[]>(true);
  const others = filterEventsByType([{ type: 'OTHER', n: 1 }], 'OTHER');
  same<typeof others, { type: string; n: number }[]>(true);
  const type = getEventType({ type: 'BUILD', status: 'success' } as BuildEvent);
  same<typeof type, 'BUILD'>(true);
  if (hasEventFields(value, ['a', 'b'])) same<typeof value.a, unknown>(true);
  // @ts-expect-error no array
  await computeChronicleHash({});
  // @ts-expect-error no object
  eventsAreIdentical(1, {});
  // @ts-expect-error no type
  getEventType({});
  void [hash, identical];
}

export async function verifies(path: string): Promise<void> {
  const signal = new AbortController().signal;
  const onProgress = (progress: { bytes: number; total: number }) => progress.bytes;
  const verification = await verifyChronicle(path, { signal, onProgress, anyExtension: true });
  same<typeof verification, Verification>(true);
  const finding: Finding | undefined = verification.findings[0];
  const kind: FindingKind | undefined = finding?.kind;
  // @ts-expect-error an unknown option
  await verifyChronicle(path, { lockTimeoutMs: 1 });
  void kind;
}

export async function follows(path: string): Promise<void> {
  const links: ChainLink[] = await buildCausalChain(path);
  const own: ChainLink<{ n: number }>[] = await buildCausalChain<{ n: number }>(path);
  const result: ChainValidationResult = await validateCausalChain(path, { onBadLine: 'throw' });
  const chain: ChronicleEvent[] = await getCompleteChain(path, 'id');
  const tail: string | undefined = await getChainTail(path, { anyExtension: true });
  const event = { type: 'BUILD' as const, status: 'success' as const, ...envelope };
  const appended = await appendWithCausalChain(path, event, { forcePrevEventId: 'id' });
  same<typeof appended, typeof event>(true);
  // @ts-expect-error a required payload field is missing
  await appendWithCausalChain(path, { type: 'BUILD', ...envelope });
  // @ts-expect-error the chain is what the function is for
  await appendWithCausalChain(path, event, { chain: false });
  // @ts-expect-error chains have no positions
  await buildCausalChain(path, { positions: true });
  void [links, own, result, chain, tail];
}
