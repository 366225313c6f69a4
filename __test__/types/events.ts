// What the types of the package accept, refuse and narrow. Checked by tsc only, never run.
import {
  append,
  appendEvent,
  appendEvents,
  appendEventSync,
  appendEventWithId,
  appendLines,
  ChronicleError,
  computeEventId,
  ErrorCodes,
  flushSync,
  isBuildEvent,
  isChronicleError,
  readChronicle,
  tailChronicle,
  validateChroniclePath,
  verifyEventId,
} from '@sage/chronicle';
import type {
  AppendOptions,
  BadLine,
  BuildEvent,
  ChronicleEvent,
  ChronicleEventBase,
  ChroniclePath,
  ErrorCode,
  EventInput,
  Given,
  Positioned,
  Receipt,
} from '@sage/chronicle';

declare module '@sage/chronicle' {
  interface ChronicleEventMap {
    REVIEW_REQUESTED: ChronicleEventBase & { type: 'REVIEW_REQUESTED'; reviewer: string };
  }
}

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_equal: Equal<A, B>): void {}

const envelope = { timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'sage', id: 'one' } };
const path: string = 'plans.sage';

export async function appends(): Promise<void> {
  const receipt = await append(path, { type: 'BUILD', status: 'success', ...envelope });
  same<typeof receipt, Receipt>(true);
  await append(path, { type: 'BUILD', status: 'failed', errors: ['e'], tags: ['t'], ...envelope });

  const receipts = await appendLines(path, new Uint8Array(), { expectedTail: null });
  same<typeof receipts, Receipt[]>(true);
  // @ts-expect-error an option that would change a record
  await appendLines(path, '{}', { chain: true });

  // @ts-expect-error a required payload field is missing
  await append(path, { type: 'BUILD', ...envelope });
  // @ts-expect-error a wrong literal
  await append(path, { type: 'BUILD', status: 'done', ...envelope });
  // @ts-expect-error a field of the wrong type
  await append(path, { type: 'FILE_ADDED', filePath: 'a', hash: 'h', size: '1', ...envelope });
  // @ts-expect-error no actor
  await append(path, { type: 'BUILD', status: 'success', timestamp: 't' });
  // @ts-expect-error no type
  await append(path, { ...envelope });
  // @ts-expect-error an envelope field of the wrong type
  await append(path, { type: 'OTHER', tags: 'one', ...envelope });

  // An unknown type takes any payload.
  await append(path, { type: 'VALVE_TURNED', angle: 90, nested: { a: [1, 2] }, ...envelope });

  // An augmented type is known.
  await append(path, { type: 'REVIEW_REQUESTED', reviewer: 'ann', ...envelope });
  // @ts-expect-error a required payload field of an augmented type is missing
  await append(path, { type: 'REVIEW_REQUESTED', ...envelope });

  const known = {} as ChronicleEvent;
  await append(path, known);
  const foreign = {} as ChronicleEventBase;
  await append(path, foreign);
  await append<'BUILD'>(path, { type: 'BUILD', status: 'started', ...envelope });

  // @ts-expect-error not a path
  await append(1, { type: 'BUILD', status: 'success', ...envelope });

  const nothing: void = await appendEvent(path, known, 500);
  await appendEvent(path, known, { lockTimeoutMs: 500 });
  // @ts-expect-error the number is of appendEvent only
  await append(path, known, 500);
  // @ts-expect-error a required payload field is missing
  await appendEvent(path, { type: 'BUILD', ...envelope });
  void nothing;
}

export async function batches(): Promise<void> {
  const receipts = await appendEvents(path, [
    { type: 'BUILD', status: 'success', ...envelope },
    { type: 'VALVE_TURNED', angle: 90, ...envelope },
    { type: 'PLAN_DRAFTED', planId: 'p', summary: 's', steps: [], ...envelope },
  ]);
  same<typeof receipts, Receipt[]>(true);
  await appendEvents(path, []);
  await appendEvents(path, [] as readonly ChronicleEvent[]);
  await appendEvents(path, [
    { type: 'VALVE_TURNED', angle: 90, ...envelope },
    // @ts-expect-error a required payload field is missing beside an unknown type
    { type: 'PLAN_DRAFTED', planId: 'p', steps: [], ...envelope },
  ]);
  // @ts-expect-error not an array
  await appendEvents(path, { type: 'BUILD', status: 'success', ...envelope });
}

export async function others(): Promise<void> {
  const build = { type: 'BUILD', status: 'success', ...envelope } as const;
  await appendEventWithId(path, { eventId: 'mine', ...build });
  // @ts-expect-error no eventId
  await appendEventWithId(path, build);
  same<ReturnType<typeof appendEventSync>, Receipt>(true);
  // @ts-expect-error a synchronous append cannot be aborted
  appendEventSync(path, build, { signal: new AbortController().signal });

  same<ReturnType<typeof flushSync>, boolean>(true);
  const id: string = await computeEventId({ any: 'object' });
  const valid: boolean = await verifyEventId(build);
  const checked: ChroniclePath = validateChroniclePath(path);
  // A chronicle path and a string are one type.
  same<ChroniclePath, string>(true);
  void [id, valid, checked];
}

export function options(): AppendOptions[] {
  return [
    { signal: new AbortController().signal, durability: 'os', expectedTail: null },
    { lockTimeoutMs: undefined, computeId: undefined, signal: undefined },
    // @ts-expect-error a wrong literal
    { durability: 'disk' },
    // @ts-expect-error an unknown option
    { timeout: 5 },
    // @ts-expect-error not a signal
    { signal: {} },
  ];
}

export async function reads(): Promise<void> {
  const events = await readChronicle(path);
  same<typeof events, ChronicleEvent[]>(true);
  const placed = await readChronicle(path, { positions: true });
  same<typeof placed, Positioned<ChronicleEvent>[]>(true);
  const builds = await tailChronicle<BuildEvent>(path, 5, { onBadLine: 'throw' });
  same<typeof builds, BuildEvent[]>(true);
  const placedBuilds = await tailChronicle<BuildEvent>(path, undefined, { positions: true });
  same<typeof placedBuilds, Positioned<BuildEvent>[]>(true);
  await readChronicle(path, {
    onBadLine: (line) => same<typeof line, BadLine>(true),
    signal: AbortSignal.timeout(1),
  });
  const either = await readChronicle(path, { positions: Boolean(path) });
  same<typeof either, ChronicleEvent[] | Positioned<ChronicleEvent>[]>(true);
}

// The types that the files beside this one add for themselves.
type Elsewhere = { type: 'ESM_ONLY' | 'CJS_ONLY' };

// Every known type is named: with one case too few, the last line is an error.
export function narrows(event: Exclude<ChronicleEvent, Elsewhere>): string {
  switch (event.type) {
    case 'BUILD':
      same<typeof event.status, 'started' | 'success' | 'failed'>(true);
      // @ts-expect-error a field of another type
      return event.planId;
    case 'PLAN_DRAFTED':
      return event.summary;
    case 'REVIEW_REQUESTED':
      return event.reviewer;
    case 'PLAN_APPROVED':
    case 'PLAN_DENIED':
    case 'PLAN_UNSAFE':
      return event.planId;
    case 'HALT_AND_REPORT':
      return event.invariant;
    case 'RECONCILIATION':
    case 'ROGUE_EDIT_DETECTED':
    case 'FILE_ADDED':
    case 'FILE_REMOVED':
      return event.filePath;
    case 'DEPLOY':
    case 'ENVVAR_CHANGE':
      return event.environment;
    case 'POSTMORTEM':
      return event.actionItems.map((item) => item.assignee ?? item.description).join();
    case 'FILE_RENAMED':
      return event.newPath;
    case 'FILE_SPLIT':
      return event.originalPath;
    case 'FILE_MERGED':
      return event.resultPath;
    default: {
      const none: never = event;
      return none;
    }
  }
}

export function guards(value: unknown): string | undefined {
  // @ts-expect-error unknown before the guard
  void value.status;
  return isBuildEvent(value) ? value.status : undefined;
}

export function errors(thrown: unknown): ErrorCode | undefined {
  if (isChronicleError(thrown, 'EIO')) {
    same<typeof thrown.code, 'EIO'>(true);
    return thrown.cause?.code === 'ENOSPC' && thrown.written === 'no' ? thrown.code : undefined;
  }
  if (isChronicleError(thrown, ErrorCodes.ELOCK_TIMEOUT)) void (thrown.waitedMs ?? 0).toFixed();
  // @ts-expect-error no such code
  isChronicleError(thrown, 'ENOPE');
  // @ts-expect-error frozen
  ErrorCodes.EIO = 'EIO';
  const made = new ChronicleError('ECLOSED', 'closed', { path });
  const error: Error = made;
  void error;
  return isChronicleError(thrown) ? thrown.code : made.code;
}

same<EventInput<'BUILD'>, Given<BuildEvent>>(true);
// @ts-expect-error the comparison itself can fail
same<EventInput<'BUILD'>, ChronicleEvent>(true);
same<EventInput<'BUILD'>['status'], BuildEvent['status']>(true);
