/** Reading, streaming and following the events of a chronicle. */

import type { ChronicleEvent, ChronicleEventMap, EventType } from './events.js';
import type { AbortSignalLike, PathOptions, PathOrUrl } from './path.js';

/**
 * A complete line that is no record. A torn tail (bytes after the last newline that are no record)
 * is not a bad line: a write may be in progress.
 */
export interface BadLine {
  /**
   * - `'malformed'`: the line is no JSON object.
   * - `'nul'`: the line is no JSON object and has NUL bytes, which a crashed file system leaves.
   * - `'bom'`: a byte order mark precedes an object, as some editors and shells write it.
   *   {@link repairChronicle} removes the mark and keeps the event.
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
   * The handling of lines that are no records. `'skip'`: leave them out, with one process warning
   * `CHRONICLE_BAD_LINES` for each file and number of bad lines. `'throw'`: reject with `ECORRUPT`,
   * `line` and `offset` of the first bad line. A function: leave the lines out and call the
   * function for each, in file order; an error of the function rejects the read. Default `'skip'`.
   */
  onBadLine?: 'skip' | 'throw' | ((line: BadLine) => void) | undefined;
  /** Return {@link Positioned} records instead of events. Default `false`. */
  positions?: boolean | undefined;
  /**
   * Aborts the read, which rejects with `signal.reason`, or with an `AbortError` if the signal has
   * no reason.
   */
  signal?: AbortSignalLike | undefined;
}

/** An event and its position. */
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
 * All events of the chronicle in file order, as the file was when the read began. The last ones may
 * not be durable yet. A read takes no lock and never writes. A missing file is `[]`. Large files
 * are parsed in pages, so the event loop is not blocked for long. `E` is not checked: records of
 * other writers are returned as they are.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option. `EIO`: the system
 *   failed. `ECORRUPT`: a bad line, with `onBadLine: 'throw'`.
 */
export function readChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: ReadOptions & { positions?: false | undefined },
): Promise<E[]>;
export function readChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options: ReadOptions & { positions: true },
): Promise<Positioned<E>[]>;
export function readChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: ReadOptions,
): Promise<E[] | Positioned<E>[]>;

/**
 * The last `n` events in file order, read backwards from the end. `n` is an integer, 0 or more
 * (default 10). 0 returns `[]`; an `n` above the number of events returns all. Otherwise as {@link
 * readChronicle}.
 *
 * @throws ChronicleError (as a rejection), as {@link readChronicle}; `EVALIDATION` also for an `n`
 *   that is negative or no integer, such as `Infinity`.
 */
export function tailChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  n?: number,
  options?: ReadOptions & { positions?: false | undefined },
): Promise<E[]>;
export function tailChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  n: number | undefined,
  options: ReadOptions & { positions: true },
): Promise<Positioned<E>[]>;
export function tailChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  n?: number,
  options?: ReadOptions,
): Promise<E[] | Positioned<E>[]>;

/**
 * A point in time: ISO 8601 text (a date, or a date and a time; without a zone it is UTC), a
 * `Date`, or an integer of milliseconds since 1970. Times are compared as instants, not as texts.
 */
export type Time = string | number | Date;

/**
 * A filter of records. All given conditions must hold. The filter runs on the stored bytes: only
 * records that match become JavaScript objects.
 */
export interface Where {
  /** `type` is this, or one of these. */
  type?: EventType | readonly EventType[] | undefined;
  /** `actor.agent` and `actor.id` are these. */
  actor?: { agent?: string | undefined; id?: string | undefined } | undefined;
  /** `tags` has this, or all of these. */
  tags?: string | readonly string[] | undefined;
  /** `planHash` is this. */
  planHash?: string | undefined;
  /** `graphCommit` is this. */
  graphCommit?: string | undefined;
  /**
   * `timestamp` is this or later. A record's timestamp is ISO 8601 text or an integer of
   * milliseconds. A record without a readable timestamp matches no time.
   */
  since?: Time | undefined;
  /** `timestamp` is this or earlier. */
  until?: Time | undefined;
  /** `eventId` is this. */
  eventId?: string | undefined;
  /** `prevEventId` is this. */
  prevEventId?: string | undefined;
}

/**
 * A place in a chronicle, before a record.
 *
 * - `'start'`, `'end'`: the first byte, and the end of the file when it is opened.
 * - `seq`: the record of this number, from 1.
 * - `offset`: the first line that begins at this byte or later.
 * - `eventId`: the first record with this id (as `to`: the first after `from`).
 * - `time`: the first record in file order with this timestamp or a later one (as `to`: the first
 *   after `from`).
 * - `cursor`: the position of another iteration, in this process or another one.
 */
export type Place =
  | 'start'
  | 'end'
  | { seq: number }
  | { offset: number }
  | { eventId: string }
  | { time: Time }
  | { cursor: string };

/** Options of {@link queryChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface QueryOptions extends ReadOptions {
  /** From the last record to the first. Default `false`. */
  reverse?: boolean | undefined;
  /** The most events to return. Default: all. */
  limit?: number | undefined;
  /** The number of matching events to leave out first. Default 0. */
  skip?: number | undefined;
}

/** Options of {@link countEvents}. `undefined` counts as absent; unknown names are refused. */
export interface CountOptions extends PathOptions {
  /** {@inheritDoc ReadOptions.onBadLine} */
  onBadLine?: ReadOptions['onBadLine'];
  /** {@inheritDoc ReadOptions.signal} */
  signal?: AbortSignalLike | undefined;
}

/** Options of {@link streamChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface StreamOptions extends ReadOptions {
  /** The first record. Default `'start'`. */
  from?: Place | undefined;
  /** The first record that is left out. Default `'end'`. */
  to?: Place | undefined;
  /** Only events that match. */
  where?: Where | undefined;
  /** From the last record to the first. Default `false`. */
  reverse?: boolean | undefined;
  /** The most events to return. Default: all. */
  limit?: number | undefined;
}

/**
 * The relation of a new file of a follow to the file before.
 *
 * - `'next'`: the file before was renamed away or deleted, and was read to its end.
 * - `'rewritten'`: the last returned event has another number in the new file, or the file has only
 *   earlier returned events.
 * - `'unknown'`: the file has no returned event. Events between the two files may be missing.
 */
export type FileState = 'next' | 'rewritten' | 'unknown';

/** Options of {@link followChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface FollowOptions extends PathOptions {
  /**
   * The first record. `'end'` returns only later records: those after the end of the file during
   * the call of {@link followChronicle}. Default `'start'`.
   */
  from?: Place | undefined;
  /**
   * The start in a rewritten file: `'continue'`, after the last returned event that the file has,
   * or `'restart'`, at its first byte. Default `'continue'`.
   */
  onRewrite?: 'continue' | 'restart' | undefined;
  /**
   * Called before the first event of another file that is no copy of the file before. An error of
   * the function ends the iteration.
   */
  onFile?: ((state: FileState) => void) | undefined;
  /**
   * Called when all events of the file were returned, and again after the follow has fallen behind
   * by more than one look. An error of the function ends the iteration.
   */
  onCaughtUp?: (() => void) | undefined;
  /** Only events that match. */
  where?: Where | undefined;
  /** {@inheritDoc ReadOptions.onBadLine} */
  onBadLine?: ReadOptions['onBadLine'];
  /** {@inheritDoc ReadOptions.positions} */
  positions?: boolean | undefined;
  /** Ends the iteration: `for await` ends as after the last event. */
  signal?: AbortSignalLike | undefined;
}

/**
 * The events of a stream or a follow, in bounded memory: events are read when they are requested. A
 * running iteration holds one descriptor. A follow holds one more for each new file that appears
 * while it reads the file before. Leaving a `for await` loop, `return()` and `await using` close
 * the descriptors.
 */
export interface ChronicleIterator<E> extends AsyncIterableIterator<E> {
  /**
   * The position after the last returned event, as an opaque text, for `from: { cursor }` in any
   * process. A reverse stream continues with `to: { cursor }`.
   *
   * Before the first event it is the cursor at which the iteration began, of `from` or, in a
   * reverse stream, of `to`. It is `undefined` if there was none, except for a follow that has
   * begun at `'start'` or `'end'`.
   */
  readonly cursor: string | undefined;
  /** Closes the file. A pending `next()` resolves as done. */
  return(value?: unknown): Promise<IteratorResult<E, any>>;
  /** Closes the file, for `await using`. Only where `Symbol.asyncDispose` exists. */
  [Symbol.asyncDispose](): Promise<void>;
  [Symbol.asyncIterator](): ChronicleIterator<E>;
}

/** The events of a follow. */
export interface FollowIterator<E> extends ChronicleIterator<E> {
  /**
   * Fulfilled when the follow has found its start. From then on {@link cursor} is that position, if
   * it is known. The first access of this property starts the first look at the file. The promise
   * rejects if the iteration ends before, as the first `next()` does; such a rejection is never
   * unhandled.
   */
  readonly ready: Promise<void>;
  /** Whether all events found by the last look were returned. */
  readonly live: boolean;
  [Symbol.asyncIterator](): FollowIterator<E>;
}

/**
 * The events of a chronicle one by one, in bounded memory, as the file was at the first `next()`. A
 * missing file has no events.
 *
 * @throws ChronicleError (as a rejection of the first `next()`) `EVALIDATION`: bad path or option,
 *   or no record before `to` has the `eventId` of `from`. `ECONFLICT`: the file of the cursor is
 *   gone. `EIO`: the system failed. `ECORRUPT`: a bad line, with `onBadLine: 'throw'`.
 *
 * @example
 * ```ts
 * for await (const event of streamChronicle(path, { where: { type: 'BUILD' }, reverse: true })) {
 *   if (event.status === 'failed') break;
 * }
 * ```
 */
export function streamChronicle<const T extends keyof ChronicleEventMap>(
  path: PathOrUrl,
  options: StreamOptions & {
    where: Where & { type: T | readonly T[] };
    positions?: false | undefined;
  },
): ChronicleIterator<ChronicleEventMap[T]>;
export function streamChronicle<const T extends keyof ChronicleEventMap>(
  path: PathOrUrl,
  options: StreamOptions & { where: Where & { type: T | readonly T[] }; positions: true },
): ChronicleIterator<Positioned<ChronicleEventMap[T]>>;
export function streamChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: StreamOptions & { positions?: false | undefined },
): ChronicleIterator<E>;
export function streamChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options: StreamOptions & { positions: true },
): ChronicleIterator<Positioned<E>>;
export function streamChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: StreamOptions,
): ChronicleIterator<E> | ChronicleIterator<Positioned<E>>;

/**
 * The events of a chronicle, then the events appended later, until the loop is left or `signal`
 * ends the iteration. The file may not exist yet. It is checked every 4 to 200 milliseconds, and at
 * once if the system reports a change.
 *
 * The follow continues when the file is cut, renamed away, deleted or replaced: the old file is
 * read to its end, then the new one. A file that was renamed away is watched until another file has
 * its path.
 *
 * In a new file the follow continues after the last of its latest 64 events that the file has, else
 * at the start of the file. If a rewrite moved one of those 64 events behind that position, the
 * event is not returned again. The path is checked every 200 ms, also while the caller handles an
 * event.
 *
 * A cursor finds the events of the time without a follow. The cursor's file is searched at the
 * path, then among the files `<name>.<suffix>` and `<name>-<suffix>` of the folder that the log's
 * owner owns. It is read to its end, then the files created after it. Otherwise the cursor's event
 * is searched in the file at the path. If the file does not have the event, or the order of
 * creation is unknown, `onFile('unknown')` is called and the file is read from its start.
 *
 * The path may be unusable for a while: no right to read a new file, or a folder at the path. A
 * follow that has begun then waits, with the warning `CHRONICLE_FOLLOW_WAITS`. The follows of a
 * process keep at most 64 descriptors of idle files; other follows reopen their files when bytes
 * are appended.
 *
 * @throws ChronicleError (as a rejection of `next()`), as {@link streamChronicle}; a cursor whose
 *   file is gone is no error. `EUNSUPPORTED`: the inode numbers of the file system are not stable.
 *
 * @example
 * ```ts
 * const following = followChronicle(path, {
 *   from: cursor === undefined ? 'start' : { cursor },
 *   onFile: (state) => state === 'unknown' && console.warn('events may be missing'),
 *   signal,
 * });
 * for await (const event of following) await handle(event);
 * await save(following.cursor);
 * ```
 */
export function followChronicle<const T extends keyof ChronicleEventMap>(
  path: PathOrUrl,
  options: FollowOptions & {
    where: Where & { type: T | readonly T[] };
    positions?: false | undefined;
  },
): FollowIterator<ChronicleEventMap[T]>;
export function followChronicle<const T extends keyof ChronicleEventMap>(
  path: PathOrUrl,
  options: FollowOptions & { where: Where & { type: T | readonly T[] }; positions: true },
): FollowIterator<Positioned<ChronicleEventMap[T]>>;
export function followChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: FollowOptions & { positions?: false | undefined },
): FollowIterator<E>;
export function followChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options: FollowOptions & { positions: true },
): FollowIterator<Positioned<E>>;
export function followChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: FollowOptions,
): FollowIterator<E> | FollowIterator<Positioned<E>>;

/**
 * The events that match. `{ reverse: true, limit: 1 }` returns the latest one, read from the end of
 * the file; with `skip: n` the latest n are left out. With `onBadLine: 'skip'` (the default) lines
 * that cannot match are not checked.
 *
 * @throws ChronicleError (as a rejection), as {@link streamChronicle}.
 */
export function queryChronicle<const T extends keyof ChronicleEventMap>(
  path: PathOrUrl,
  where: Where & { type: T | readonly T[] },
  options?: QueryOptions & { positions?: false | undefined },
): Promise<ChronicleEventMap[T][]>;
export function queryChronicle<const T extends keyof ChronicleEventMap>(
  path: PathOrUrl,
  where: Where & { type: T | readonly T[] },
  options: QueryOptions & { positions: true },
): Promise<Positioned<ChronicleEventMap[T]>[]>;
export function queryChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  where?: Where,
  options?: QueryOptions & { positions?: false | undefined },
): Promise<E[]>;
export function queryChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  where: Where | undefined,
  options: QueryOptions & { positions: true },
): Promise<Positioned<E>[]>;
export function queryChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  where?: Where,
  options?: QueryOptions,
): Promise<E[] | Positioned<E>[]>;

/**
 * The number of events that match.
 *
 * @throws ChronicleError (as a rejection), as {@link streamChronicle}.
 */
export function countEvents(
  path: PathOrUrl,
  where?: Where,
  options?: CountOptions,
): Promise<number>;
