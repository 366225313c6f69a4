// The events: their envelope, the known types, the map that users extend, and the guards.

/** The actor that caused an event. */
export interface Actor {
  /** The kind of actor, for example the name of an agent. Not empty. */
  agent: string;
  /** The actor among those of its kind. Not empty. */
  id: string;
}

/** The envelope of every event. The payload is in further fields of the event. */
export interface ChronicleEventBase {
  /** What happened. Any non-empty string; the types of {@link ChronicleEventMap} are checked. */
  type: string;
  /**
   * The event's identity. Default: the lower-case hex SHA-256 of the event's canonical form (RFC
   * 8785) without this field. A given string is kept as it is.
   */
  eventId?: string;
  /** The time of the event, ISO 8601. Not empty; the format is not parsed. */
  timestamp: string;
  /** The actor that caused the event. */
  actor: Actor;
  /** Hash of the plan the event belongs to. */
  planHash?: string;
  /** Commit of the graph the event belongs to. */
  graphCommit?: string;
  /** `eventId` of the event before this one in its causal chain. */
  prevEventId?: string;
  /** Free words for searches. */
  tags?: string[];
  /** Identifies a retry with another payload; see the append option of the same name. */
  idempotencyKey?: string;
}

/** A plan was written down. */
export interface PlanDraftedEvent extends ChronicleEventBase {
  type: 'PLAN_DRAFTED';
  planId: string;
  summary: string;
  steps: unknown[];
}

/** A plan was accepted by a reviewer. */
export interface PlanApprovedEvent extends ChronicleEventBase {
  type: 'PLAN_APPROVED';
  planId: string;
  reviewerId: string;
  justification: string;
}

/** A plan was refused by a reviewer. */
export interface PlanDeniedEvent extends ChronicleEventBase {
  type: 'PLAN_DENIED';
  planId: string;
  reviewerId: string;
  reason: string;
}

/** A plan was forced through against warnings. */
export interface PlanUnsafeEvent extends ChronicleEventBase {
  type: 'PLAN_UNSAFE';
  planId: string;
  forcedBy: string;
  overriddenWarnings: string[];
}

/** An invariant did not hold, and work stopped. */
export interface HaltAndReportEvent extends ChronicleEventBase {
  type: 'HALT_AND_REPORT';
  invariant: string;
  expected: unknown;
  actual: unknown;
  context?: Record<string, unknown>;
}

/** A divergence between a file and its record was settled. */
export interface ReconciliationEvent extends ChronicleEventBase {
  type: 'RECONCILIATION';
  filePath: string;
  diffRef: string;
  reconciliationStrategy: string;
}

/** A file was changed without a record of the change. */
export interface RogueEditDetectedEvent extends ChronicleEventBase {
  type: 'ROGUE_EDIT_DETECTED';
  filePath: string;
  hash: string;
  detectedBy: string;
}

/** A build began or ended. */
export interface BuildEvent extends ChronicleEventBase {
  type: 'BUILD';
  status: 'started' | 'success' | 'failed';
  buildId?: string;
  /** The duration of the build, in a unit of the writer's choice. */
  duration?: number;
  artifacts?: string[];
  errors?: string[];
}

/** A deployment began, ended or was undone. */
export interface DeployEvent extends ChronicleEventBase {
  type: 'DEPLOY';
  environment: string;
  deploymentId: string;
  status: 'started' | 'success' | 'failed' | 'rolled_back';
  buildRef?: string;
}

/** An environment variable changed; only hashes of its values are recorded. */
export interface EnvvarChangeEvent extends ChronicleEventBase {
  type: 'ENVVAR_CHANGE';
  variable: string;
  environment: string;
  operation: 'set' | 'unset' | 'changed';
  previousHash?: string;
  newHash?: string;
}

/** The lessons of an incident. */
export interface PostmortemEvent extends ChronicleEventBase {
  type: 'POSTMORTEM';
  incidentId: string;
  title: string;
  rootCause: string;
  actionItems: { description: string; assignee?: string; dueDate?: string }[];
}

/** A file appeared. */
export interface FileAddedEvent extends ChronicleEventBase {
  type: 'FILE_ADDED';
  filePath: string;
  hash: string;
  /** Bytes. */
  size: number;
  encoding?: string;
}

/** A file was removed. */
export interface FileRemovedEvent extends ChronicleEventBase {
  type: 'FILE_REMOVED';
  filePath: string;
  lastHash: string;
  reason?: string;
}

/** A file got another path. */
export interface FileRenamedEvent extends ChronicleEventBase {
  type: 'FILE_RENAMED';
  oldPath: string;
  newPath: string;
  hash: string;
}

/** One file became several. */
export interface FileSplitEvent extends ChronicleEventBase {
  type: 'FILE_SPLIT';
  originalPath: string;
  resultingPaths: string[];
  originalHash: string;
  strategy: string;
}

/** Several files became one. */
export interface FileMergedEvent extends ChronicleEventBase {
  type: 'FILE_MERGED';
  sourcePaths: string[];
  resultPath: string;
  resultHash: string;
  strategy: string;
}

/**
 * The known event types by name. Augment the interface with your own types: they become part of
 * {@link ChronicleEvent} and `append` checks them.
 *
 * ```ts
 * declare module '@sage/chronicle' {
 *   interface ChronicleEventMap {
 *     REVIEW_REQUESTED: ChronicleEventBase & { type: 'REVIEW_REQUESTED'; reviewer: string };
 *   }
 * }
 * ```
 */
export interface ChronicleEventMap {
  PLAN_DRAFTED: PlanDraftedEvent;
  PLAN_APPROVED: PlanApprovedEvent;
  PLAN_DENIED: PlanDeniedEvent;
  PLAN_UNSAFE: PlanUnsafeEvent;
  HALT_AND_REPORT: HaltAndReportEvent;
  RECONCILIATION: ReconciliationEvent;
  ROGUE_EDIT_DETECTED: RogueEditDetectedEvent;
  BUILD: BuildEvent;
  DEPLOY: DeployEvent;
  ENVVAR_CHANGE: EnvvarChangeEvent;
  POSTMORTEM: PostmortemEvent;
  FILE_ADDED: FileAddedEvent;
  FILE_REMOVED: FileRemovedEvent;
  FILE_RENAMED: FileRenamedEvent;
  FILE_SPLIT: FileSplitEvent;
  FILE_MERGED: FileMergedEvent;
}

/** Every known event; closed, so that `switch (event.type)` narrows. */
export type ChronicleEvent = ChronicleEventMap[keyof ChronicleEventMap];

/** The name of an event type. An editor completes the known ones; any other string is one, too. */
export type EventType = keyof ChronicleEventMap | (string & {});

/**
 * The event `E` as a caller may give it. An optional field may also be `undefined`, an array may be
 * read-only, and `timestamp` may be a `Date`, which is stored as ISO 8601.
 */
export type Given<E> = {
  readonly [Field in keyof E]:
    | (E[Field] extends infer V ? (V extends readonly (infer Item)[] ? readonly Item[] : V) : never)
    | (Field extends 'timestamp' ? Date : never)
    | (object extends Pick<E, Field> ? undefined : never);
};

/**
 * The event that may be appended under the type `T`: the known event of that name, or for any other
 * name the envelope with any payload. {@link EventToAppend} also takes further fields.
 */
export type EventInput<T extends string> = T extends keyof ChronicleEventMap
  ? Given<ChronicleEventMap[T]>
  : Given<ChronicleEventBase> & { readonly type: T };

/**
 * The parameter of {@link append} for the type `T`. A known type has its fields checked; the event
 * may have others, too.
 */
export type EventToAppend<T extends string> = { readonly type: T } & EventInput<T> & {
    // `any` and not `unknown`: an interface without an index signature is no `unknown` record.
    readonly [field: string]: any;
  };

/** The events of a batch: each is one of {@link EventToAppend} by its own type. */
export type EventsToAppend<T extends string> = readonly ({ readonly type: T } & {
  [K in T]: EventToAppend<K>;
}[T])[];

/**
 * Whether the value is an object with this `type`. The payload is not checked. A type outside
 * {@link ChronicleEventMap} narrows to an event with any payload.
 *
 * @example
 * ```ts
 * for (const event of await readChronicle(path)) {
 *   if (isEvent(event, 'BUILD')) console.log(event.status);
 * }
 * ```
 */
export function isEvent<T extends keyof ChronicleEventMap>(
  event: unknown,
  type: T,
): event is ChronicleEventMap[T];
export function isEvent<T extends string>(
  event: unknown,
  type: T,
): event is ChronicleEventBase & { type: T; [field: string]: unknown };

// The guards: true if `type` is equal and every required payload field is present. The values of
// the fields are not checked.

export function isPlanDraftedEvent(event: unknown): event is PlanDraftedEvent;
export function isPlanApprovedEvent(event: unknown): event is PlanApprovedEvent;
export function isPlanDeniedEvent(event: unknown): event is PlanDeniedEvent;
export function isPlanUnsafeEvent(event: unknown): event is PlanUnsafeEvent;
export function isHaltAndReportEvent(event: unknown): event is HaltAndReportEvent;
export function isReconciliationEvent(event: unknown): event is ReconciliationEvent;
export function isRogueEditDetectedEvent(event: unknown): event is RogueEditDetectedEvent;
export function isBuildEvent(event: unknown): event is BuildEvent;
export function isDeployEvent(event: unknown): event is DeployEvent;
export function isEnvvarChangeEvent(event: unknown): event is EnvvarChangeEvent;
export function isPostmortemEvent(event: unknown): event is PostmortemEvent;
export function isFileAddedEvent(event: unknown): event is FileAddedEvent;
export function isFileRemovedEvent(event: unknown): event is FileRemovedEvent;
export function isFileRenamedEvent(event: unknown): event is FileRenamedEvent;
export function isFileSplitEvent(event: unknown): event is FileSplitEvent;
export function isFileMergedEvent(event: unknown): event is FileMergedEvent;
