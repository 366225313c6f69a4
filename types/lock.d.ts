/** Holding the locks of several files for as long as one likes. */

import type { ChronicleEventBase, EventInput } from './events.js';
import type {
  AbortSignalLike,
  AppendOptions,
  ChroniclePath,
  PathOptions,
  Receipt,
} from '../index.js';

// Where the library of ECMAScript has no such symbol, as in that of ES2022.
declare global {
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/** Options of {@link lockChronicles}. `undefined` counts as absent; unknown names are refused. */
export interface LockOptions extends PathOptions {
  /**
   * How long to wait until all locks are free, in milliseconds from the call: a finite number, 0 or
   * more. 0 tries once. Default 2000.
   */
  lockTimeoutMs?: number | undefined;
  /**
   * `'exclusive'` keeps out everybody who takes the lock; `'shared'` lets others in that share it,
   * and keeps writers out. Default `'exclusive'`.
   */
  mode?: 'exclusive' | 'shared' | undefined;
  /**
   * Gives the waiting up: it rejects with `signal.reason` as it is, or with an `AbortError` where
   * the signal has none. A lock that is held is not released by it.
   */
  signal?: AbortSignalLike | undefined;
}

/** Files that are locked until {@link ChronicleLock.release}. Its functions need no `this`. */
export interface ChronicleLock {
  /** The paths as they were given. */
  readonly paths: readonly string[];
  /**
   * Appends to one of the files while it is locked, with all that {@link append} promises and all
   * its options. `path` is one of {@link ChronicleLock.paths}, or another name of such a file,
   * absolute or relative to the working directory at the call. A file that an editor has put at the path is locked first, which may have to wait
   * for its lock.
   *
   * @throws ChronicleError (as a rejection), as {@link append}; `EVALIDATION` also for a path that
   *   is none of the lock's and for a `'shared'` lock; `ECLOSED` after `release()` was called.
   */
  append<E extends ChronicleEventBase>(
    path: ChroniclePath,
    event: E & EventInput<E['type']>,
    options?: AppendOptions,
  ): Promise<Receipt>;
  /**
   * Takes no more appends, waits until those that were accepted are settled, and gives all locks
   * back; then it resolves. Further calls give the same promise.
   */
  release(): Promise<void>;
  /** As {@link ChronicleLock.release}, for `await using`. Only where `Symbol.asyncDispose` exists. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Locks all of the files or none, for as long as the caller likes: an editor session, a migration.
 * It takes any regular files, whatever their suffix (`anyExtension` changes nothing); one that is
 * missing is made, and its directories too. Two names of one file are one lock. While one of the
 * files is not free, none is held, so that two such calls never wait for each other. Waiting holds
 * no thread.
 *
 * The lock is that of appends: until `release()`, appends to these files wait, those of this
 * process too; only the lock's own `append` goes through. Readers are not affected. Besides the
 * file a lock file beside it is locked (`.<name>.chronicle-lock`), so that two locks exclude each
 * other even when an editor replaces the file by a rename. The new file is locked as soon as it is
 * seen, at most 250 ms later; appends of others may come in between.
 *
 * The lock ends with its process, with its worker thread, and when it is collected as garbage. It
 * does not keep the process alive.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no array, an empty one, a bad path or
 *   option, what is no regular file. `ELOCK_TIMEOUT`: not all were free in time; `path` is one that
 *   was not, with `waitedMs` and, where the system tells, `holderPid`. `EIO`: the system failed,
 *   see `cause.code`. `EUNSUPPORTED`: the file system does not honour locks.
 *
 * @example
 * ```ts
 * const lock = await lockChronicles(['plans.sage', 'notes.md'], { lockTimeoutMs: 10_000 });
 * try {
 *   await lock.append('plans.sage', event);
 * } finally {
 *   await lock.release();
 * }
 * ```
 */
export function lockChronicles(
  paths: readonly ChroniclePath[],
  options?: LockOptions,
): Promise<ChronicleLock>;
