/** Appending events. */

import type { EventsToAppend, EventToAppend, EventType } from './events.js';
import type { AbortSignalLike, PathOptions, PathOrUrl } from './path.js';

/** The outcome of an append. The receipt of a duplicate describes the original record. */
export interface Receipt {
  /** The record's id; absent if the record has none. */
  eventId?: string;
  /** The record's number in the file, from 1. */
  seq: number;
  /** First byte of the record, from 0. */
  offset: number;
  /** Bytes of the record without its newline. */
  length: number;
  /** The file already had a record with this id or key, and nothing was written. */
  duplicate: boolean;
  /**
   * The canonical forms of the event and of the record agree, and so does the text of each number
   * (`1.0` is not `1`). True for a new record.
   */
  identical: boolean;
  /**
   * The record survives an OS crash and a power cut. Always true with `durability: 'sync'`. With
   * `'os'` it is true only if the call wrote nothing and this process synced all its records
   * before.
   */
  durable: boolean;
}

/** Options of {@link appendEventSync}. `undefined` counts as absent; unknown names are refused. */
export interface AppendSyncOptions extends PathOptions {
  /**
   * The longest wait for the queue and the lock, in milliseconds from the call: a finite number, 0
   * or more. 0 tries once. Writing and syncing are not counted. Default 2000.
   */
  lockTimeoutMs?: number | undefined;
  /**
   * Compute an `eventId` if the event has none. `false` writes such an event without an id; a
   * second append of the event is then no duplicate (unless the event has a key). Default `true`.
   */
  computeId?: boolean | undefined;
  /**
   * A non-empty string that names this append. If a record of the file has the key as its id or
   * key, the append is a duplicate, even with another payload. The key is stored as the top-level
   * field `idempotencyKey` and is part of the hash. `EVALIDATION` if the event has a different key,
   * and for a batch of more than one event: give each event its own field.
   */
  idempotencyKey?: string | undefined;
  /**
   * Set `prevEventId` to the id of the last record with an id. The id is read under the lock, so
   * concurrent writers build one unbroken chain. An event without `idempotencyKey` gets the id of
   * the given event as its key, so that a retry is recognised. `EVALIDATION` if the event has an
   * `eventId` or `prevEventId`, and with `computeId: false`. Default `false`.
   */
  chain?: boolean | undefined;
  /**
   * The id that the last record must have, or `null` for a file without records. Otherwise the
   * append rejects with `ECONFLICT` and writes no record, though it may create the file and its
   * directories. A last record without an id matches neither a string nor `null`. Default: no
   * condition.
   *
   * Duplicates are found first, so the retry of a successful append resolves. In a batch the
   * condition applies to the record before the first event that is no duplicate.
   */
  expectedTail?: string | null | undefined;
  /**
   * The outcome if a record has the `eventId` of this event and another content. `'accept'`
   * resolves with the receipt of that record (`identical: false`) and emits, once for each log, the
   * process warning `CHRONICLE_ID_REUSED`. `'reject'` rejects with `ECONFLICT`. A duplicate by an
   * idempotency key, of the event or of the record, is always accepted. Default `'accept'`.
   */
  onIdReuse?: 'accept' | 'reject' | undefined;
  /**
   * `'sync'`: the append resolves after a sync; the event survives `kill -9`, an OS crash and a
   * power cut. `'os'`: the append resolves after the write; the event survives `kill -9` only.
   * Default `'sync'`.
   */
  durability?: 'sync' | 'os' | undefined;
}

/** Options of {@link append}. `undefined` counts as absent; unknown names are refused. */
export interface AppendOptions extends AppendSyncOptions {
  /**
   * Aborts the append, which rejects with `signal.reason`, or with an `AbortError` if the signal
   * has no reason. Once the batch is being written, the signal has no effect and the append settles
   * with its true outcome. Any number of calls may share one signal.
   */
  signal?: AbortSignalLike | undefined;
}

/**
 * Appends one event. Resolves with its receipt once the event is in the file with the requested
 * durability: by default the event then survives `kill -9`, an OS crash and a power cut. Missing
 * directories and a missing file are created.
 *
 * An event is not written again if any record of the file, written by any process at any time, has
 * its id or key. The event is serialised during the call and is not changed; later changes have no
 * effect. Concurrent appends of one process share writes and syncs. A refused append, or one that
 * finds the disk full, does not fail the others; a failed sync fails all appends that it was for.
 *
 * After a rejection `error.written` says whether bytes may be in the file. In both cases the remedy
 * is to append the same event again.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path, event or option.
 *   `ELOCK_TIMEOUT`: the lock was not free in time. `EIO`: the system failed, see `cause.code`.
 *   `ECONFLICT`: see `expectedTail` and `onIdReuse`. `EUNSUPPORTED`: the file system does not
 *   honour locks.
 *
 * @example
 * ```ts
 * const receipt = await append('plans.sage', {
 *   type: 'BUILD',
 *   timestamp: new Date().toISOString(),
 *   actor: { agent: 'ci', id: 'runner-1' },
 *   status: 'success',
 * });
 * ```
 */
export function append<T extends EventType>(
  path: PathOrUrl,
  event: EventToAppend<T>,
  options?: AppendOptions,
): Promise<Receipt>;

/**
 * {@link append} without a receipt. The third argument may be the lock timeout in milliseconds.
 *
 * @throws ChronicleError (as a rejection), as {@link append}.
 */
export function appendEvent<T extends EventType>(
  path: PathOrUrl,
  event: EventToAppend<T>,
  options?: number | AppendOptions,
): Promise<void>;

/**
 * Appends several events in order, as one batch, and resolves with their receipts. One bad event
 * rejects the batch (`EVALIDATION` with its `index`). After every reported failure no event of the
 * batch is written. A crash may leave a prefix of the batch; a second append of the batch completes
 * it. An empty array resolves with `[]` and touches nothing.
 *
 * @throws ChronicleError (as a rejection), as {@link append}; `index` names the event at fault.
 */
export function appendEvents<T extends EventType>(
  path: PathOrUrl,
  events: EventsToAppend<T>,
  options?: AppendOptions,
): Promise<Receipt[]>;

/**
 * Options of {@link appendLines}: those of {@link append} that do not change an event.
 */
export type AppendLinesOptions = Omit<AppendOptions, 'computeId' | 'idempotencyKey' | 'chain'>;

/**
 * Appends whole lines, byte for byte and in order, as one batch, and resolves with a receipt for
 * each line: a copy of records of another log. Each line is one JSON object in UTF-8 of at most
 * 64 MiB. Its envelope is not checked, and no id is computed. A line is a duplicate if a record of
 * the file has its `eventId` or `idempotencyKey`. A line without either is always written.
 *
 * Lines end with `\n`, which the last line may lack. Lines of only spaces, tabs and `\r` are left
 * out; a `\r` at the end of other lines is kept. A string is written as UTF-8. The bytes of a
 * `Buffer` or another `Uint8Array` are copied during the call. One line that is no record rejects
 * the batch (`EVALIDATION` with its `index`, from 0, blank lines not counted); nothing is written.
 *
 * @throws ChronicleError (as a rejection), as {@link appendEvents}. `EVALIDATION` also for the
 *   options `computeId`, `idempotencyKey` and `chain`.
 *
 * @example
 * ```ts
 * const receipts = await appendLines('copy.sage', await readFile('agent.sage'));
 * ```
 */
export function appendLines(
  path: PathOrUrl,
  lines: string | Uint8Array,
  options?: AppendLinesOptions,
): Promise<Receipt[]>;

/**
 * {@link append} for an event with an `eventId`; `EVALIDATION` without one. The third argument may
 * be the lock timeout in milliseconds.
 *
 * @throws ChronicleError (as a rejection), as {@link append}.
 */
export function appendEventWithId<T extends EventType>(
  path: PathOrUrl,
  event: EventToAppend<T> & { readonly eventId: string },
  options?: number | AppendOptions,
): Promise<Receipt>;

/**
 * Synchronous {@link append}, for exit handlers and scripts: blocks the thread until the event is
 * in the file with the requested durability. There is no option `signal`.
 *
 * @throws ChronicleError, as {@link append}.
 */
export function appendEventSync<T extends EventType>(
  path: PathOrUrl,
  event: EventToAppend<T>,
  options?: AppendSyncOptions,
): Receipt;

/**
 * Synchronous: waits until all accepted appends of this process, with those of its worker threads,
 * are settled. Returns `false` if some remain after `timeoutMs` (milliseconds, default 5000).
 * Exit handlers may call it: it never throws, and a bad argument counts as absent.
 */
export function flushSync(options?: { timeoutMs?: number | undefined }): boolean;
