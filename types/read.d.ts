import type {
  AbortSignalLike,
  ChroniclePath,
  PathOptions,
  Positioned,
  ReadOptions,
} from '../index.js';
import type { ChronicleEvent } from './events.js';

/**
 * A point in time: ISO 8601 text (a date, or a date and a time; without a zone it is UTC), a `Date`,
 * or an integer of milliseconds since 1970. Times are compared as instants, not as texts.
 */
export type Time = string | number | Date;

/**
 * What a record must have to be wanted; what is absent is not asked, and all that is asked must
 * hold. It is matched on the stored bytes: only records that match become JavaScript objects.
 */
export interface Where {
  /** `type` is this, or one of these. */
  type?: string | readonly string[] | undefined;
  /** `actor.agent` and `actor.id` are these. */
  actor?: { agent?: string | undefined; id?: string | undefined } | undefined;
  /** `tags` has this, or all of these. */
  tags?: string | readonly string[] | undefined;
  /** `planHash` is this. */
  planHash?: string | undefined;
  /** `graphCommit` is this. */
  graphCommit?: string | undefined;
  /**
   * `timestamp` is this or later. A record's timestamp counts as ISO 8601 text or as an integer of
   * milliseconds; a record without one that can be read matches no time.
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
 * - `'start'`, `'end'`: the first byte, and where the file ends when it is opened.
 * - `seq`: the record of this number, from 1.
 * - `offset`: the first line that begins at this byte or later.
 * - `eventId`: the first record with this id (as `to`: the first behind `from`).
 * - `time`: the first record in file order with this timestamp or a later one (as `to`: the first
 *   behind `from`).
 * - `cursor`: where another iteration left off, in this process or another one.
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
  /** At most so many events. Default: all. */
  limit?: number | undefined;
  /** Leave out so many that match. Default 0. */
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
  /** Only those that match. */
  where?: Where | undefined;
  /** From the last record to the first. Default `false`. */
  reverse?: boolean | undefined;
  /** At most so many events. Default: all. */
  limit?: number | undefined;
}

/**
 * What a file that a follow begins is to the one before.
 *
 * - `'next'`: the one before was renamed away or deleted, and read to its end.
 * - `'rewritten'`: the event given last has another number in it, or only an earlier one is in it.
 * - `'unknown'`: nothing that was given is in it. Events between may be gone.
 */
export type FileState = 'next' | 'rewritten' | 'unknown';

/** Options of {@link followChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface FollowOptions extends PathOptions {
  /**
   * The first record. `'end'` gives only what comes: the end is where the file ends during the call
   * of {@link followChronicle}. Default `'start'`.
   */
  from?: Place | undefined;
  /**
   * Where to go on in a file that was rewritten: `'continue'`, behind the last event that was given
   * and is in it, or `'restart'`, at its start. Default `'continue'`.
   */
  onRewrite?: 'continue' | 'restart' | undefined;
  /**
   * Called before the first event of a file that is not the one before, nor a copy of it. What it
   * throws ends the iteration as its error.
   */
  onFile?: ((state: FileState) => void) | undefined;
  /**
   * Called when every event that is there was given, and again after more than one look was needed
   * for what had come. What it throws ends the iteration as its error.
   */
  onCaughtUp?: (() => void) | undefined;
  /** Only those that match. */
  where?: Where | undefined;
  /** {@inheritDoc ReadOptions.onBadLine} */
  onBadLine?: ReadOptions['onBadLine'];
  /** {@inheritDoc ReadOptions.positions} */
  positions?: boolean | undefined;
  /** Ends the iteration: `for await` is left as after the last event. */
  signal?: AbortSignalLike | undefined;
}

/**
 * The events of a stream or a follow, in bounded memory: the next ones are read when they are asked
 * for. Each that is begun and not over holds one descriptor (a follow one more for each file that came
 * while it read the one before); leaving a `for await` loop, `return()` and `await using` close them.
 */
export interface ChronicleIterator<E> extends AsyncIterableIterator<E> {
  /**
   * The position after the event given last, as an opaque text, for `from: { cursor }` here or in
   * another process. Of a reverse stream, `to: { cursor }` goes on. Before the first event it is the
   * cursor that the iteration began with (a reverse stream: that of `to`), and `undefined` where it
   * began without one (a follow that has begun at `'start'` or `'end'` has one).
   */
  readonly cursor: string | undefined;
  /** Closes the file; a `next()` that waits is told that there is nothing more. */
  return(value?: unknown): Promise<IteratorResult<E, any>>;
  [Symbol.asyncIterator](): ChronicleIterator<E>;
}

/** The events of a follow. */
export interface FollowIterator<E> extends ChronicleIterator<E> {
  /**
   * Fulfilled when the follow has found the place to begin at; from then on {@link cursor} is that
   * place, if it is known. Asking for it makes the first look at the file. It rejects when the
   * iteration ends before, as the first `next()` does; such a rejection is never unhandled.
   */
  readonly ready: Promise<void>;
  /** Whether every event that was there at the last look was given. */
  readonly live: boolean;
  [Symbol.asyncIterator](): FollowIterator<E>;
}

/**
 * The events of a chronicle one by one, as the file was when the first one was asked for, in bounded
 * memory whatever its length. A missing file has none.
 *
 * @throws ChronicleError (as a rejection of the first `next()`) `EVALIDATION`: bad path or option, or
 *   no record before `to` has the `eventId` to begin at. `ECONFLICT`: the file of the cursor is gone. `EIO`: the
 *   system failed. `ECORRUPT`: a bad line, with `onBadLine: 'throw'`.
 *
 * @example
 * ```ts
 * for await (const event of streamChronicle(path, { where: { type: 'BUILD' }, reverse: true })) {
 *   if (event.status === 'failed') break;
 * }
 * ```
 */
export function streamChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options?: StreamOptions & { positions?: false | undefined },
): ChronicleIterator<E>;
export function streamChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options: StreamOptions & { positions: true },
): ChronicleIterator<Positioned<E>>;
export function streamChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options?: StreamOptions,
): ChronicleIterator<E> | ChronicleIterator<Positioned<E>>;

/**
 * The events of a chronicle and then those that are appended to it, until it is left or `signal`
 * ends it. The file need not exist yet. It is looked at every 4 to 200 milliseconds, at once where the
 * system tells of changes.
 *
 * It goes on when the file is cut, renamed away, deleted or replaced: the old file is read to its end
 * (one that was renamed away is watched until another one stands in its place), then the new one. In a
 * new file it goes on behind the last of the 64 events passed before that is in it, else at its start.
 * An event that a rewriting moved behind that place is not given again, if it is one of those 64. The
 * path is looked at every 200 ms also while the caller is busy with an event.
 *
 * What happened while nobody followed is found by the cursor: its file is looked for at the path, then
 * among the files `<name>.<suffix>` and `<name>-<suffix>` of the folder, of the log's owner, and read
 * to its end before those that were born after it. Else the cursor's event is looked for in the file at
 * the path. Where that is not in it, or the order of births is not known, `onFile('unknown')` says so,
 * and the file is read from its start.
 *
 * What keeps the path from being looked at for a while, once the follow has begun (no right to read a
 * new file, a folder in its place), is waited through, with the warning `CHRONICLE_FOLLOW_WAITS`. The
 * follows of a process keep at most 64 descriptors of files to which nothing comes; the others open
 * theirs again when something does.
 *
 * @throws ChronicleError (as a rejection of `next()`), as {@link streamChronicle}; a cursor whose file
 *   is gone is no error. `EUNSUPPORTED`: the inode numbers of the file system change.
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
export function followChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options?: FollowOptions & { positions?: false | undefined },
): FollowIterator<E>;
export function followChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options: FollowOptions & { positions: true },
): FollowIterator<Positioned<E>>;
export function followChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options?: FollowOptions,
): FollowIterator<E> | FollowIterator<Positioned<E>>;

/**
 * The events that match. `{ reverse: true, limit: 1 }` is the latest one, read from the end of the
 * file; with `skip: n` the one before n others. With `onBadLine: 'skip'` (the default) lines that
 * cannot match are passed over without being checked.
 *
 * @throws ChronicleError (as a rejection), as {@link streamChronicle}.
 */
export function queryChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  where?: Where,
  options?: QueryOptions & { positions?: false | undefined },
): Promise<E[]>;
export function queryChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  where: Where | undefined,
  options: QueryOptions & { positions: true },
): Promise<Positioned<E>[]>;
export function queryChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  where?: Where,
  options?: QueryOptions,
): Promise<E[] | Positioned<E>[]>;

/**
 * How many events match.
 *
 * @throws ChronicleError (as a rejection), as {@link streamChronicle}.
 */
export function countEvents(
  path: ChroniclePath,
  where?: Where,
  options?: CountOptions,
): Promise<number>;
