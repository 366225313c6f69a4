/**
 * Append-only NDJSON event logs ("chronicles") that many processes, worker threads and languages
 * write at once. A resolved append is in the file exactly once; a reader is never blocked.
 *
 * Functions that return a promise never throw synchronously: what is wrong with an argument
 * rejects with {@link ChronicleError} `EVALIDATION` too. Only the functions marked "synchronous"
 * throw.
 *
 * Where the addon of this platform is missing or cannot be loaded, loading the package throws an
 * `Error` whose `code` is `'ERR_CHRONICLE_BINDING'`; its message says what to do.
 *
 * @packageDocumentation
 */

import type { ChronicleEvent, ChronicleEventBase, EventInput } from './types/events.js';

// A star, not a list: an augmentation of `ChronicleEventMap` merges through a star only.
export * from './types/events.js';
export * from './types/checks.js';
export * from './types/read.js';
export * from './types/batches.js';
export * from './types/compat.js';
export * from './types/handle.js';
export * from './types/stats.js';
export * from './types/lock.js';
export * from './types/repair.js';

/**
 * The path of a chronicle, absolute or relative to the working directory at the call. It ends in
 * `.sage` (unless `anyExtension` is set) and has no `..` segment. A plain string is one.
 */
export type ChroniclePath = string;

/** What a resolved append is relied on for. For a duplicate: of the record that was there. */
export interface Receipt {
  /** The record's id; absent where it has none. */
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
   * (`1.0` is not `1`); true for a record just written.
   */
  identical: boolean;
  /**
   * The record survives an OS crash and a power cut: true with `durability: 'sync'`. With `'os'` it
   * is true only where the call wrote nothing and this process knows all its records to be on the
   * disk, as for a duplicate of a record that it synced before.
   */
  durable: boolean;
}

/**
 * What `signal` takes: the `AbortSignal` of Node.js, of a browser or of jsdom. It is looked at by
 * shape, never by `instanceof`.
 */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Options that every function on a path takes. `undefined` counts as absent. */
export interface PathOptions {
  /** Take paths that do not end in `.sage`. Default `false`. */
  anyExtension?: boolean | undefined;
}

/** Options of {@link appendEventSync}. `undefined` counts as absent; unknown names are refused. */
export interface AppendSyncOptions extends PathOptions {
  /**
   * How long to wait for the queue and the lock, in milliseconds from the call: a finite number, 0
   * or more. 0 tries once. Writing and syncing are not counted. Default 2000.
   */
  lockTimeoutMs?: number | undefined;
  /**
   * Compute an `eventId` where the event has none. `false` writes such an event without an id, and
   * appending it again is then no duplicate (unless it has a key). Default `true`.
   */
  computeId?: boolean | undefined;
  /**
   * A non-empty string that names this append: a file that has it, as any record's id or key,
   * counts the append as a duplicate, though its payload differs. It is stored as the top-level
   * field `idempotencyKey` and is part of the hash. A different one in the event is `EVALIDATION`,
   * and so is the option for a batch of more than one event: give each event its own field.
   */
  idempotencyKey?: string | undefined;
  /**
   * Set `prevEventId` to the id of the last record that has one, decided under the lock, so that
   * concurrent writers build one unbroken chain. The id of the event as given is stored as its
   * `idempotencyKey` where it has none, so that a retry is recognised. `EVALIDATION` with a given
   * `eventId` or `prevEventId` and with `computeId: false`. Default `false`.
   */
  chain?: boolean | undefined;
  /**
   * The id that the last record must have, or `null` for a file without records; else `ECONFLICT`
   * and no record is written, though the file and its directories may be made. A last record
   * without an id is neither: it matches no string and not `null`. Absent: not asked. Asked after
   * the duplicate check, so the retry of an append that succeeded resolves; in a batch it is asked
   * of the record before the first event that is no duplicate.
   */
  expectedTail?: string | null | undefined;
  /**
   * What to do when the file has a record whose `eventId` is this event's and whose content is
   * another: `'accept'` gives its receipt (`identical: false`) and, once for each log, the
   * process warning `CHRONICLE_ID_REUSED`; `'reject'` gives `ECONFLICT`. A record met by an idempotency key, of
   * either side, is a duplicate without that question. Default `'accept'`.
   */
  onIdReuse?: 'accept' | 'reject' | undefined;
  /**
   * `'sync'`: the receipt comes after the file was synced; it survives `kill -9`, an OS crash and a
   * power cut. `'os'`: it comes after the write; it survives `kill -9` only. Default `'sync'`.
   */
  durability?: 'sync' | 'os' | undefined;
}

/** Options of {@link append} and its kin. `undefined` counts as absent; unknown names are refused. */
export interface AppendOptions extends AppendSyncOptions {
  /**
   * Gives the append up: it rejects with `signal.reason` as it is, or with an `AbortError` where
   * the signal has none. Once the batch is being written the signal is too late, and the append
   * settles with its true outcome. Any number of calls may share one signal.
   */
  signal?: AbortSignalLike | undefined;
}

/**
 * A complete line that is no record. A torn tail (bytes behind the last newline that are no record)
 * is none: it may be a write under way.
 */
export interface BadLine {
  /**
   * `'malformed'`: it is no JSON object. `'nul'`: it is none and has NUL bytes, as a crashed file
   * system leaves them. `'bom'`: a byte order mark stands before an object, as some editors and
   * shells write it; {@link repairChronicle} removes the mark and keeps the event.
   */
  kind: 'malformed' | 'nul' | 'bom';
  /** Line number, from 1. */
  line: number;
  /** First byte, from 0. */
  offset: number;
  /** Bytes, without the newline. */
  length: number;
}

/** Options of the readers. `undefined` counts as absent; unknown names are refused. */
export interface ReadOptions extends PathOptions {
  /**
   * What to do about lines that are no records. `'skip'`: leave them out, with one process warning
   * `CHRONICLE_BAD_LINES` per file and number of them. `'throw'`: reject with `ECORRUPT`, `line`
   * and `offset` of the first. A function: leave them out and call it for each, in file order;
   * what it throws rejects the read. Default `'skip'`.
   */
  onBadLine?: 'skip' | 'throw' | ((line: BadLine) => void) | undefined;
  /** Give {@link Positioned} records instead of events. Default `false`. */
  positions?: boolean | undefined;
  /**
   * Gives the read up: it rejects with `signal.reason` as it is, or with an `AbortError` where the
   * signal has none.
   */
  signal?: AbortSignalLike | undefined;
}

/** An event and where it stands. */
export interface Positioned<E = ChronicleEvent> {
  event: E;
  /** The record's number in the file, from 1. */
  seq: number;
  /** First byte of the record, from 0. */
  offset: number;
  /** Bytes of the record without its newline. */
  length: number;
}

/**
 * Appends one event and resolves with its receipt once the event is in the file as durably as
 * asked; by default it then survives `kill -9`, an OS crash and a power cut. Missing directories
 * and the file are made. An event whose id or key the file already has, over its whole history and
 * whoever wrote it, is not written again. The event is serialised during the call, so later
 * changes to it are not seen, and it is not changed. Concurrent appends of one process share
 * writes and syncs; one that is refused or finds no room on the disk does not fail those it shares
 * them with, but a failed sync fails all that it was for.
 *
 * After a rejection `error.written` says whether bytes may be in the file; appending the same
 * event again is the cure in either case.
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
export function append<E extends ChronicleEventBase>(
  path: ChroniclePath,
  event: E & EventInput<E['type']>,
  options?: AppendOptions,
): Promise<Receipt>;

/**
 * {@link append} without a receipt; the third argument may be the lock timeout in milliseconds.
 *
 * @throws ChronicleError (as a rejection), as {@link append}.
 */
export function appendEvent<E extends ChronicleEventBase>(
  path: ChroniclePath,
  event: E & EventInput<E['type']>,
  options?: number | AppendOptions,
): Promise<void>;

/**
 * Appends several events in order, as one batch, and resolves with their receipts. One bad event
 * rejects all (`EVALIDATION` with its `index`) and nothing is written, as with every failure that
 * is reported. A crash may leave a prefix of the batch; appending the same batch again completes
 * it. An empty array resolves with `[]` and touches nothing.
 *
 * @throws ChronicleError (as a rejection), as {@link append}; `index` names the event at fault.
 */
export function appendEvents<E extends ChronicleEventBase & { type: T }, T extends string = string>(
  path: ChroniclePath,
  events: readonly (E & EventInput<E['type']>)[],
  options?: AppendOptions,
): Promise<Receipt[]>;

/**
 * Options of {@link appendLines}: those of {@link append} but for the ones that change an event.
 */
export type AppendLinesOptions = Omit<AppendOptions, 'computeId' | 'idempotencyKey' | 'chain'>;

/**
 * Appends whole lines, byte for byte and in order, as one batch, and resolves with a receipt for
 * each: copies of records that another log has. Each line is one JSON object in UTF-8 of at most
 * 64 MiB; its envelope is not checked, and no id is computed. A line whose `eventId` or
 * `idempotencyKey` the file has is a duplicate; a line without either is written each time.
 *
 * Lines end with `\n`; the last one need not. Those of only spaces, tabs and `\r` are left out, and
 * a `\r` at the end of another one is kept. A string is written as UTF-8; of a `Buffer` or another
 * `Uint8Array` the bytes are copied during the call. One line that is no record rejects all
 * (`EVALIDATION` with its `index`, from 0, blank lines not counted) and nothing is written.
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
  path: ChroniclePath,
  lines: string | Uint8Array,
  options?: AppendLinesOptions,
): Promise<Receipt[]>;

/**
 * {@link append} for an event that brings its own `eventId`; without one it is `EVALIDATION`. The
 * third argument may be the lock timeout in milliseconds.
 *
 * @throws ChronicleError (as a rejection), as {@link append}.
 */
export function appendEventWithId<E extends ChronicleEventBase & { eventId: string }>(
  path: ChroniclePath,
  event: E & EventInput<E['type']>,
  options?: number | AppendOptions,
): Promise<Receipt>;

/**
 * Synchronous {@link append}, for exit handlers and scripts: blocks the thread until the event is
 * in the file as durably as asked. It takes no `signal`.
 *
 * @throws ChronicleError, as {@link append}.
 */
export function appendEventSync<E extends ChronicleEventBase>(
  path: ChroniclePath,
  event: E & EventInput<E['type']>,
  options?: AppendSyncOptions,
): Receipt;

/**
 * Synchronous: waits until the appends that this process has accepted, worker threads included,
 * are settled. Returns `false` if some remain after `timeoutMs` (milliseconds, default 5000). It
 * never throws, so that exit handlers may call it; an argument it cannot use counts as absent.
 */
export function flushSync(options?: { timeoutMs?: number | undefined }): boolean;

/**
 * Every event of the chronicle in file order, as the file was when the read began; perhaps not yet
 * durable. Takes no lock and never writes. A missing file is `[]`. Large files are parsed in
 * slices, so that the event loop is not held for long. `E` is a claim, not a check: records of
 * other writers come as they are.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option. `EIO`: the system
 *   failed. `ECORRUPT`: a bad line, with `onBadLine: 'throw'`.
 */
export function readChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options?: ReadOptions & { positions?: false | undefined },
): Promise<E[]>;
export function readChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options: ReadOptions & { positions: true },
): Promise<Positioned<E>[]>;
export function readChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options?: ReadOptions,
): Promise<E[] | Positioned<E>[]>;

/**
 * The last `n` events in file order, read backwards from the end. `n` is an integer, 0 or more
 * (default 10); 0 gives `[]`, and more than there are gives all. Otherwise as
 * {@link readChronicle}.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}; `EVALIDATION` also for an `n`
 *   that is negative or no integer, `Infinity` too.
 */
export function tailChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  n?: number,
  options?: ReadOptions & { positions?: false | undefined },
): Promise<E[]>;
export function tailChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  n: number | undefined,
  options: ReadOptions & { positions: true },
): Promise<Positioned<E>[]>;
export function tailChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  n?: number,
  options?: ReadOptions,
): Promise<E[] | Positioned<E>[]>;

/**
 * Synchronous: gives the path back if it may name a chronicle. Nothing is opened.
 *
 * @throws ChronicleError `EVALIDATION`: no string, empty, not well-formed Unicode (a lone
 *   surrogate), a NUL character, a `..` segment, no file name at the end (`/`, `logs/`), or not
 *   ending in `.sage` without `anyExtension`.
 */
export function validateChroniclePath(path: string, options?: PathOptions): ChroniclePath;

/**
 * The id that {@link append} computes for this event: lower-case hex SHA-256 of the canonical form
 * (RFC 8785) of what `JSON.stringify` writes for it, without `eventId`. Any JSON object has one.
 * The options `idempotencyKey` and `chain` add fields to what is stored, and so to what is hashed:
 * with them the receipt has another id.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no object, or not representable in JSON.
 */
export function computeEventId(event: object): Promise<string>;

/**
 * The ids of several events, in order.
 *
 * @throws ChronicleError (as a rejection), as {@link computeEventId}; `index` names the event.
 */
export function computeEventIds(events: readonly object[]): Promise<string[]>;

/**
 * Whether the event's `eventId` is the one computed from its content. The key order of the
 * TypeScript predecessor (integer-like keys first) is accepted too. `false` without `eventId`.
 *
 * @throws ChronicleError (as a rejection), as {@link computeEventId}.
 */
export function verifyEventId(event: object): Promise<boolean>;

/**
 * Synchronous: a shallow copy of the event's own enumerable fields without `eventId`, in their
 * order (canonical order is applied when the id is computed).
 *
 * @throws ChronicleError `EVALIDATION`: no object, or one that cannot be read.
 */
export function canonicalizeEvent<E extends object>(event: E): Omit<E, 'eventId'>;

/**
 * Synchronous: the event as one line, `JSON.stringify(event)` and a newline.
 *
 * @throws ChronicleError `EVALIDATION`: no object, or not representable in JSON.
 */
export function serializeEvent(event: object): string;

/**
 * The stable codes. `EVALIDATION`: a bad path, event, option or argument; nothing was touched.
 * `ELOCK_TIMEOUT`: the lock was not free by the deadline; nothing was written. `EIO`: the system
 * failed; `cause.code` is the system's code. `ECONFLICT`: the log is not as the caller said it
 * must be. `ECORRUPT`: a bad line, where the caller asked for an error. `ECLOSED`: the handle or
 * lock was closed. `EUNSUPPORTED`: the file system does not honour the lock.
 */
export type ErrorCode =
  'EVALIDATION' | 'ELOCK_TIMEOUT' | 'EIO' | 'ECONFLICT' | 'ECORRUPT' | 'ECLOSED' | 'EUNSUPPORTED';

/** The names of the codes, frozen. */
export const ErrorCodes: { readonly [Code in ErrorCode]: Code } & {
  /** @deprecated Never used; the system's `EPERM` and `EACCES` arrive as `EIO` with that cause. */
  readonly EPERMISSION: 'EPERMISSION';
  /** @deprecated Never used; see `ELOCK_TIMEOUT`. */
  readonly ETIMEOUT: 'ETIMEOUT';
  /** @deprecated Never used. */
  readonly EHALT: 'EHALT';
};

/** What is behind an error: the system's own error, or what the caller's code threw. */
export interface ChronicleErrorCause extends Error {
  /** The system's code: `ENOSPC`, `EACCES`, `EMFILE`, ... */
  code?: string;
  /** The system's number for it, as in `os.constants.errno`. */
  errno?: number;
  /** The operation that failed: `open`, `write`, `fdatasync`, ... */
  syscall?: string;
}

/** The fields of a {@link ChronicleError} that apply to some codes only. */
export interface ChronicleErrorDetails {
  /** The file. */
  path?: string | undefined;
  /** What is behind the error. */
  cause?: ChronicleErrorCause | undefined;
  /** Of every rejected append: `'no'`, nothing of it is in the file; `'unknown'`, some may be. */
  written?: 'no' | 'unknown' | undefined;
  /** Of `ELOCK_TIMEOUT`: how long the lock was waited for, in milliseconds. */
  waitedMs?: number | undefined;
  /** Of `ELOCK_TIMEOUT`: the process that held the lock, where the system tells. */
  holderPid?: number | undefined;
  /** Of a batch: which event is at fault, from 0. */
  index?: number | undefined;
  /** Of `ECORRUPT`: the line, from 1. */
  line?: number | undefined;
  /** Of `ECORRUPT`: first byte of the line, from 0. */
  offset?: number | undefined;
}

/** The only error that the functions of this package make; `name` is `'ChronicleError'`. */
export class ChronicleError extends Error {
  constructor(code: ErrorCode, message: string, details?: ChronicleErrorDetails);
  /** What went wrong, for programs. It never changes for a kind of failure. */
  readonly code: ErrorCode;
  /** {@inheritDoc ChronicleErrorDetails.path} */
  readonly path?: string | undefined;
  /** {@inheritDoc ChronicleErrorDetails.cause} */
  readonly cause?: ChronicleErrorCause | undefined;
  /** {@inheritDoc ChronicleErrorDetails.written} */
  readonly written?: 'no' | 'unknown' | undefined;
  /** {@inheritDoc ChronicleErrorDetails.waitedMs} */
  readonly waitedMs?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.holderPid} */
  readonly holderPid?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.index} */
  readonly index?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.line} */
  readonly line?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.offset} */
  readonly offset?: number | undefined;
}

/**
 * Whether `error` is a {@link ChronicleError}, and one with `code` if that is given. Tested by
 * shape, so that errors of another realm or another copy of the package count.
 */
export function isChronicleError<C extends keyof typeof ErrorCodes = ErrorCode>(
  error: unknown,
  code?: C,
): error is ChronicleError & { readonly code: C };
