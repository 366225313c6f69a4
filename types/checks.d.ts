/**
 * Comparing and filtering events, verifying chronicles, and following causal chains.
 */

import type {
  ChronicleEvent,
  ChronicleEventBase,
  ChronicleEventMap,
  EventInput,
} from './events.js';
import type { AbortSignalLike, PathOptions, PathOrUrl } from './path.js';
import type { ReadOptions } from './read.js';

/**
 * One hash of many events, independent of their order: lower-case hex SHA-256 of the array of their
 * canonical forms without `eventId`. The events are sorted by the text of `timestamp`, as by
 * `localeCompare` of the language `en`; events of equal text keep their order. Without events: the
 * hash of `[]`.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no array; an event that is no object or
 *   not representable in JSON, with its `index`.
 */
export function computeChronicleHash(events: readonly object[]): Promise<string>;

/**
 * Synchronous: whether two events have the same canonical form without `eventId`.
 *
 * @throws ChronicleError `EVALIDATION`: no object, or not representable in JSON.
 */
export function eventsAreIdentical(a: object, b: object): boolean;

/**
 * Synchronous: the events that occur more than once, grouped by their canonical form without
 * `eventId`. Groups and events keep the order of the array.
 *
 * @throws ChronicleError `EVALIDATION`: no array; an event that is no object or not representable
 *   in JSON, with its `index`.
 */
export function findDuplicateEvents<E extends object>(events: readonly E[]): Map<string, E[]>;

/**
 * Synchronous: the event's `type`.
 *
 * @throws ChronicleError `EVALIDATION`: no object.
 */
export function getEventType<T extends string>(event: { type: T }): T;

/**
 * Synchronous: the events of one type, in their order. A type of {@link ChronicleEventMap} narrows
 * the result.
 *
 * @throws ChronicleError `EVALIDATION`: no array, or a type that is no string.
 */
export function filterEventsByType<T extends keyof ChronicleEventMap>(
  events: readonly ChronicleEvent[],
  type: T,
): ChronicleEventMap[T][];
export function filterEventsByType<E extends { type: string }>(
  events: readonly E[],
  type: string,
): E[];

/**
 * Synchronous: whether the event is an object with all of these fields (`in`; the values are not
 * checked).
 *
 * @throws ChronicleError `EVALIDATION`: `names` is no array.
 */
export function hasEventFields<F extends string>(
  event: unknown,
  names: readonly F[],
): event is { [Field in F]: unknown };

/**
 * The kinds of findings of {@link verifyChronicle}.
 *
 * - `'torn'`: the bytes after the last newline are no record, and no process is writing them.
 * - `'malformed'`: a line is no JSON object, or longer than 64 MiB.
 * - `'nul'`: a line is no JSON object and has NUL bytes.
 * - `'bom'`: a byte order mark precedes an object. Readers skip the line; its id and key count.
 * - `'id-mismatch'`: an `eventId` of 64 hexadecimal digits is not the hash of its record, in either
 *   canonical form. Other ids are not checked.
 * - `'duplicate'`: an earlier record has the `eventId` or `idempotencyKey` as id or key.
 * - `'broken-chain'`: no earlier record has the `prevEventId` as `eventId`.
 * - `'fork'`: an earlier record has the same `prevEventId`.
 * - `'out-of-order'`: the `timestamp` is an earlier instant than that of the record before, if both
 *   can be read. A time without a zone counts as UTC.
 * - `'no-time'`: the `timestamp` cannot be read as an instant, so no search by time finds the
 *   record.
 */
export type FindingKind =
  | 'torn'
  | 'malformed'
  | 'nul'
  | 'bom'
  | 'id-mismatch'
  | 'duplicate'
  | 'broken-chain'
  | 'fork'
  | 'out-of-order'
  | 'no-time';

/** A fault of a line. */
export interface Finding {
  kind: FindingKind;
  /** Line number, from 1. */
  line: number;
  /** First byte of the line, from 0. */
  offset: number;
  /** Bytes, without the newline. */
  length: number;
  /** The record's id; absent if the record has none, or the line is no record. */
  eventId?: string;
  /** What is wrong, for people. */
  details: string;
}

/** The verdict of {@link verifyChronicle}. */
export interface Verification {
  /**
   * There are no findings other than a torn tail (an unfinished append), records out of order and
   * times that cannot be read.
   */
  ok: boolean;
  /** Bytes checked: the file's length when the check began. */
  bytes: number;
  /** Lines, with blank lines and an unterminated last line. */
  lines: number;
  /** Records. */
  records: number;
  /** The first 10,000 findings, in file order. The command `chronicle verify` prints all. */
  findings: Finding[];
  /** The number of findings after those in `findings`; absent if zero. */
  findingsOmitted?: number;
}

/** Options of {@link verifyChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface VerifyOptions extends PathOptions {
  /**
   * Called about every mebibyte and at the end, with the bytes checked so far and the total. An
   * error of the function rejects the check.
   */
  onProgress?: ((progress: { bytes: number; total: number }) => void) | undefined;
  /** Aborts the check, which rejects with `signal.reason`. */
  signal?: AbortSignalLike | undefined;
}

/**
 * Checks every line and record that the chronicle had when the check began, off the main thread.
 * Nothing is written. If the file ends in a torn tail, the check tries once to share the lock. The
 * tail is not reported while a writer holds the lock, or if the tail was completed meanwhile.
 * Memory grows by some 50 bytes for each id and key, and by the findings. A missing file has no
 * findings.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option. `EIO`: the system
 *   failed.
 */
export function verifyChronicle(path: PathOrUrl, options?: VerifyOptions): Promise<Verification>;

/** Options of the functions that follow chains. `undefined` counts as absent. */
export type ChainOptions = Omit<ReadOptions, 'positions'>;

/** An event and whether its neighbours in the chain are in the file. */
export interface ChainLink<E = ChronicleEvent> {
  event: E;
  /** The index among the events of the file, from 0. */
  index: number;
  /** Some event has this event's `eventId` as `prevEventId`. */
  hasNext: boolean;
  /** Some event has this event's `prevEventId` as `eventId`. */
  hasPrev: boolean;
}

/** A link that does not lead to an earlier event, or is not the only one to its event. */
export interface BrokenLink {
  /** The index of the event among the events of the file, from 0. */
  eventIndex: number;
  eventId: string;
  /**
   * - `'missing_prev'`: no event has the `prevEventId` as `eventId`.
   * - `'circular_reference'`: the event links to itself.
   * - `'invalid_prev'`: the event links to an event that is not earlier in the file.
   * - `'fork'`: another, earlier event links to the same event.
   */
  issue: 'missing_prev' | 'circular_reference' | 'invalid_prev' | 'fork';
  /** What is wrong, for people. */
  details: string;
}

/** The verdict of {@link validateCausalChain}. */
export interface ChainValidationResult {
  /** No link is broken. A chronicle without links is valid. */
  isValid: boolean;
  totalEvents: number;
  /** Events with an `eventId` and a `prevEventId`: those whose link was checked. */
  chainedEvents: number;
  /** In file order. {@link analyzeChronicle} returns the first 10,000. */
  brokenLinks: BrokenLink[];
  /** The number of broken links after those in `brokenLinks`; absent if zero. */
  brokenLinksOmitted?: number;
  /** The ids of the events in `brokenLinks` with the issue `'missing_prev'`. */
  orphanedEvents: string[];
}

/**
 * Every event of the chronicle in file order, and whether the events before and after it in its
 * causal chain are in the file.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}.
 */
export function buildCausalChain<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: ChainOptions,
): Promise<ChainLink<E>[]>;

/**
 * Whether each `prevEventId` leads to an earlier event of the file, and no two to the same event.
 * Events without `eventId` are not checked. Only ids are kept in memory.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}.
 */
export function validateCausalChain(
  path: PathOrUrl,
  options?: ChainOptions,
): Promise<ChainValidationResult>;

/**
 * The chain of one event: the events back to the root, and all events that descend from one of
 * those. The events are sorted by `timestamp` as a point in time; events without a time come first,
 * events of one time keep their order. If an id occurs more than once, its first event counts.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION` for an id that no event has; otherwise as
 *   {@link readChronicle}.
 */
export function getCompleteChain<E = ChronicleEvent>(
  path: PathOrUrl,
  eventId: string,
  options?: ChainOptions,
): Promise<E[]>;

/**
 * The `eventId` of the last event; `undefined` without an id or without an event.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}.
 */
export function getChainTail(path: PathOrUrl, options?: ChainOptions): Promise<string | undefined>;

/** Options of {@link appendWithCausalChain}; the others are those of {@link append}. */
export interface ChainAppendOptions extends PathOptions {
  /** The `prevEventId` to write. It replaces one that the event has. */
  forcePrevEventId?: string | undefined;
  /** {@inheritDoc AppendSyncOptions.lockTimeoutMs} */
  lockTimeoutMs?: number | undefined;
  /** {@inheritDoc AppendSyncOptions.idempotencyKey} */
  idempotencyKey?: string | undefined;
  /** {@inheritDoc AppendSyncOptions.durability} */
  durability?: 'sync' | 'os' | undefined;
  /** {@inheritDoc AppendOptions.signal} */
  signal?: AbortSignalLike | undefined;
}

/**
 * Appends the event with a `prevEventId`: the forced one, else the event's own, else the id of the
 * last record with an id, read under the lock. (The last case is `append` with `chain: true`, which
 * refuses an event with an `eventId` but no `prevEventId`.)
 *
 * Then `prevEventId`, `eventId` and, if written, `idempotencyKey` are set on the event itself, and
 * the call resolves to the event. A second call with the event, before or after this change, writes
 * nothing.
 *
 * @throws ChronicleError (as a rejection), as {@link append}; `EVALIDATION` also for a frozen
 *   event, `ECONFLICT` also when the file was replaced before the record could be read back.
 */
export function appendWithCausalChain<E extends ChronicleEventBase>(
  path: PathOrUrl,
  event: E & EventInput<E['type']>,
  options?: ChainAppendOptions,
): Promise<E>;
