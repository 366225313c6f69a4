/**
 * Looking at events and chronicles: comparing, filtering, verifying, and following the links of
 * causal chains.
 */

import type {
  ChronicleEvent,
  ChronicleEventBase,
  ChronicleEventMap,
  EventInput,
} from './events.js';
import type { AbortSignalLike, ChroniclePath, PathOptions, ReadOptions } from '../index.js';

/**
 * One hash of many events, whatever their order: lower-case hex SHA-256 of the array of their
 * canonical forms without `eventId`, sorted by the text of `timestamp` (as `localeCompare` of the
 * language `en` has it; equal ones keep their order). No events: the hash of `[]`.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no array; an event that is no object or
 *   not representable in JSON, with its `index`.
 */
export function computeChronicleHash(events: readonly object[]): Promise<string>;

/**
 * Synchronous: whether two events have the same canonical form, `eventId` aside.
 *
 * @throws ChronicleError `EVALIDATION`: no object, or not representable in JSON.
 */
export function eventsAreIdentical(a: object, b: object): boolean;

/**
 * Synchronous: the events that occur twice or more, by their canonical form without `eventId`.
 * Groups and events are in the order of the array.
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
 * Synchronous: whether the event is an object that has every one of these fields (`in`; the values
 * are not looked at).
 *
 * @throws ChronicleError `EVALIDATION`: `names` is no array.
 */
export function hasEventFields<F extends string>(
  event: unknown,
  names: readonly F[],
): event is { [Field in F]: unknown };

/**
 * What {@link verifyChronicle} can find. `'torn'`: what stands behind the last newline is no
 * record, and nobody is writing it. `'malformed'`: a line is no JSON object or longer than 64 MiB.
 * `'nul'`: a line is no JSON object and has NUL bytes. `'bom'`: a byte order mark stands before an
 * object, which readers skip; its id and key count all the same. `'id-mismatch'`: an `eventId` of 64
 * hexadecimal digits is not the hash of its record, in neither canonical form (other ids are their
 * givers' affair). `'duplicate'`: an earlier record has the `eventId` or `idempotencyKey` as id or
 * key. `'broken-chain'`: no earlier record has the `prevEventId` as `eventId`. `'fork'`: an earlier
 * record has the same `prevEventId`. `'out-of-order'`: the `timestamp` is earlier than that of the
 * record before, as instants, where both can be read (a time without a zone counts as UTC).
 * `'no-time'`: the `timestamp` cannot be read as an instant, so that no search by time finds the
 * record.
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

/** One thing that is wrong with a line. */
export interface Finding {
  kind: FindingKind;
  /** Line number, from 1. */
  line: number;
  /** First byte of the line, from 0. */
  offset: number;
  /** Bytes, without the newline. */
  length: number;
  /** The record's id; absent where it has none, and for what is no record. */
  eventId?: string;
  /** What is wrong, for people. */
  details: string;
}

/** The verdict of {@link verifyChronicle}. */
export interface Verification {
  /**
   * Nothing was found but a torn tail (an append that never ended), records out of order and times
   * that cannot be read.
   */
  ok: boolean;
  /** Bytes checked: the file's length when the check began. */
  bytes: number;
  /** Lines, blank ones and an unterminated last one included. */
  lines: number;
  /** Records. */
  records: number;
  /** What is wrong, in file order: the first 10,000. The command `chronicle verify` prints all. */
  findings: Finding[];
  /** How many findings come after those in `findings`; absent where there are none. */
  findingsOmitted?: number;
}

/** Options of {@link verifyChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface VerifyOptions extends PathOptions {
  /**
   * Called between slices of about a mebibyte, and at the end, with the bytes checked so far and
   * the bytes there are. What it throws rejects the check.
   */
  onProgress?: ((progress: { bytes: number; total: number }) => void) | undefined;
  /** Gives the check up: it rejects with `signal.reason` as it is. */
  signal?: AbortSignalLike | undefined;
}

/**
 * Checks every line and record of the chronicle as the file was when the check began, off the main
 * thread. It writes nothing. When the file ends in a torn tail it tries, without waiting, to share
 * the lock for a moment: while a writer holds it, or when the tail was finished meanwhile, the tail
 * is not reported. Memory grows by some 50 bytes for each id and key, and by the findings. A missing
 * file has nothing wrong.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option. `EIO`: the system
 *   failed.
 */
export function verifyChronicle(
  path: ChroniclePath,
  options?: VerifyOptions,
): Promise<Verification>;

/** Options of the functions that follow chains. `undefined` counts as absent. */
export type ChainOptions = Omit<ReadOptions, 'positions'>;

/** An event and whether its neighbours in the chain are in the file. */
export interface ChainLink<E = ChronicleEvent> {
  event: E;
  /** Its place among the events of the file, from 0. */
  index: number;
  /** Some event has its `eventId` as `prevEventId`. */
  hasNext: boolean;
  /** Some event has its `prevEventId` as `eventId`. */
  hasPrev: boolean;
}

/** A link that does not lead to an earlier event, or not alone. */
export interface BrokenLink {
  /** Place of the event among the events of the file, from 0. */
  eventIndex: number;
  eventId: string;
  /**
   * `'missing_prev'`: no event has its `prevEventId`. `'circular_reference'`: it points to itself.
   * `'invalid_prev'`: it points to an event that is not earlier in the file. `'fork'`: another event,
   * which is earlier, points to the same one.
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
  /** Events that have an `eventId` and a `prevEventId`: those whose link was checked. */
  chainedEvents: number;
  /** In file order. {@link analyzeChronicle} gives the first 10,000. */
  brokenLinks: BrokenLink[];
  /** How many broken links come after those in `brokenLinks`; absent where there are none. */
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
  path: ChroniclePath,
  options?: ChainOptions,
): Promise<ChainLink<E>[]>;

/**
 * Whether each `prevEventId` leads to an event that is earlier in the file, and each to another one.
 * Events without
 * `eventId` are not checked. Only ids are kept in memory.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}.
 */
export function validateCausalChain(
  path: ChroniclePath,
  options?: ChainOptions,
): Promise<ChainValidationResult>;

/**
 * The chain of one event: from it back to the root, and whatever in the file follows from those,
 * sorted by `timestamp` as a point in time (equal ones in file order, those without one first). Of an id that others wrote twice, the first.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION` for an id that no event has; otherwise as
 *   {@link readChronicle}.
 */
export function getCompleteChain<E = ChronicleEvent>(
  path: ChroniclePath,
  eventId: string,
  options?: ChainOptions,
): Promise<E[]>;

/**
 * The `eventId` of the last event; `undefined` if it has none, or if there is no event.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}.
 */
export function getChainTail(
  path: ChroniclePath,
  options?: ChainOptions,
): Promise<string | undefined>;

/** Options of {@link appendWithCausalChain}; the others are those of {@link append}. */
export interface ChainAppendOptions extends PathOptions {
  /** The `prevEventId` to write, also over one that the event has. */
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
 * Appends the event with a `prevEventId`: the forced one, else the event's own, else that of the
 * last record with an id, decided under the lock (`append` with `chain: true`, which refuses an
 * event that brings an `eventId` but no `prevEventId`). Then it sets `prevEventId`, `eventId` and,
 * where one was written, `idempotencyKey` on the event itself, as they are in the file, and
 * resolves to it. Calling it again with the event as it was, or as it is then, writes nothing.
 *
 * @throws ChronicleError (as a rejection), as {@link append}; `EVALIDATION` also for a frozen
 *   event, `ECONFLICT` also when the file was replaced before the record could be read back.
 */
export function appendWithCausalChain<E extends ChronicleEventBase>(
  path: ChroniclePath,
  event: E & EventInput<E['type']>,
  options?: ChainAppendOptions,
): Promise<E>;
