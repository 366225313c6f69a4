// What the types of adapters and handles accept and refuse. Checked by tsc only, never run.
import { createAdapter, openChronicle } from '@sage/chronicle';
import type {
  Adapter,
  BuildEvent,
  Chronicle,
  ChronicleEvent,
  ChronicleIterator,
  Clock,
  DeepReadonly,
  OpenOptions,
  Positioned,
  Receipt,
  StandardSchemaV1,
  TimedChronicle,
  Verification,
} from '@sage/chronicle';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_equal: Equal<A, B>): void {}

const envelope = { timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'sage', id: 'one' } };

export async function adapts(path: string, build: BuildEvent): Promise<void> {
  const clock: Clock = Date;
  const adapter: Adapter = createAdapter({ clock, baseDir: '/tmp', anyExtension: true });
  createAdapter({ clock: { now: () => 'noon' } });
  const nothing: void = await adapter.append(path, { type: 'X', any: { thing: [1] } });
  await adapter.append(path, build);
  await adapter.append(path, { type: 'X', timestamp: null, actor: { agent: 'a' } });
  const events = await adapter.read(path);
  same<typeof events, ChronicleEvent[]>(true);
  const own = await adapter.tail<{ n: number }>(path, 3);
  same<typeof own, { n: number }[]>(true);
  // @ts-expect-error no type
  await adapter.append(path, { ...envelope });
  // @ts-expect-error an actor that is no object
  await adapter.append(path, { type: 'X', actor: 'me' });
  // @ts-expect-error an unknown option
  createAdapter({ base: '/tmp' });
  // @ts-expect-error a clock without a time
  createAdapter({ clock: { now: () => {} } });
  void nothing;
}

export async function opens(path: string): Promise<void> {
  const log: Chronicle = await openChronicle(path);
  const strict = await openChronicle(path, { validate: 'contract', anyExtension: true });
  same<typeof strict, Chronicle>(true);
  const receipt: Receipt = await log.append({ type: 'BUILD', status: 'success', ...envelope });
  await log.append({ type: 'OTHER', any: 1, ...envelope }, { chain: true, expectedTail: null });
  const receipts: Receipt[] = await log.appendMany([
    { type: 'BUILD', status: 'success', ...envelope },
    { type: 'OTHER', any: 1, ...envelope },
  ]);
  const events = await log.read();
  same<typeof events, DeepReadonly<ChronicleEvent>[]>(true);
  // @ts-expect-error frozen at every level
  events[0]!.actor.id = 'x';
  // @ts-expect-error its arrays, too
  const plain: ChronicleEvent[] = events;
  const positions: Positioned<DeepReadonly<ChronicleEvent>>[] = await log.read({ positions: true });
  const last: ChronicleEvent[] = await log.tail(3);
  const stream: ChronicleIterator<ChronicleEvent> = log.stream({ reverse: true, limit: 1 });
  const cursor: string | undefined = stream.cursor;
  for await (const { seq } of log.follow({ positions: true, from: 'end' })) void seq.toFixed();
  const found: ChronicleEvent[] = await log.query({ type: 'BUILD' }, { limit: 1 });
  const count: number = await log.count({ type: ['BUILD', 'DEPLOY'] });
  const verification: Verification = await log.verify({ onProgress: ({ bytes }) => void bytes });
  await log[Symbol.asyncDispose]();
  const closed: void = await log.close();
  // @ts-expect-error a required payload field is missing
  await log.append({ type: 'BUILD', ...envelope });
  // @ts-expect-error no time without a clock
  await log.append({ type: 'OTHER', actor: envelope.actor });
  // @ts-expect-error the path is known
  await log.read({ anyExtension: true });
  // @ts-expect-error what is read is frozen
  if (events[0]) events[0].timestamp = 'now';
  // @ts-expect-error an unknown option
  await openChronicle(path, { cache: false });
  void [receipt, receipts, plain, positions, last, cursor, found, count, verification, closed];
}

export async function opensWithClock(path: string): Promise<void> {
  const log = await openChronicle<{ n: number }>(path, { clock: Date });
  same<typeof log, TimedChronicle<{ n: number }>>(true);
  const { actor } = envelope;
  await log.append({ type: 'BUILD', status: 'success', actor });
  await log.append({ type: 'BUILD', status: 'success', ...envelope });
  await log.appendMany([{ type: 'OTHER', any: 1, actor }]);
  const numbers: number[] = (await log.read()).map(({ n }) => n);
  // @ts-expect-error a wrong literal
  await log.append({ type: 'BUILD', status: 'done', actor });
  // @ts-expect-error no actor
  await log.append({ type: 'OTHER' });
  const asStrict: Chronicle<{ n: number }> = log;
  void [numbers, asStrict];
}

interface Note {
  type: 'NOTE';
  timestamp: string;
  text: string;
}
declare const noteSchema: StandardSchemaV1<Omit<Note, 'text'> & { text?: string }, Note>;

export async function opensWithSchema(path: string): Promise<void> {
  const log = await openChronicle(path, { validate: noteSchema });
  await log.append({ type: 'NOTE', timestamp: 't' });
  const texts: string[] = (await log.read()).map(({ text }) => text);
  const timed = await openChronicle(path, { validate: noteSchema, clock: Date });
  await timed.append({ type: 'NOTE', text: 'x' });
  await timed.appendMany([{ type: 'NOTE' }]);
  // @ts-expect-error no time without a clock
  await log.append({ type: 'NOTE', text: 'x' });
  // @ts-expect-error another type
  await timed.append({ type: 'OTHER' });
  const validate = (value: unknown) => ({ value: value as Note });
  const handmade = { '~standard': { version: 1 as const, vendor: 'me', validate } };
  const own = await openChronicle(path, { validate: handmade });
  await own.append({ type: 'NOTE' });
  const notes = await own.tail();
  same<typeof notes, unknown[]>(true);

  const free = await openChronicle(path, { validate: 'none' });
  await free.append({ type: 'ANY', payload: 1 });
  // @ts-expect-error no type
  await free.append({ payload: 1 });
  // @ts-expect-error no validation of that name
  await openChronicle(path, { validate: 'strict' });
  const options: OpenOptions = { validate: noteSchema };
  void [texts, options];
}
