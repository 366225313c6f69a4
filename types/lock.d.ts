/** Holding the locks of several files. */

import type { AppendOptions, Receipt } from './append.js';
import type { EventToAppend, EventType } from './events.js';
import type { AbortSignalLike, PathOptions, PathOrUrl } from './path.js';

// The ECMAScript library of ES2022 has no such symbol.
declare global {
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/** Options of {@link lockChronicles}. `undefined` counts as absent; unknown names are refused. */
export interface LockOptions extends PathOptions {
  /**
   * The longest wait until all locks are free, in milliseconds from the call: a finite number, 0 or
   * more. 0 tries once. Default 2000.
   */
  lockTimeoutMs?: number | undefined;
  /**
   * `'exclusive'` excludes all other locks. `'shared'` admits other shared locks and excludes
   * writers. Default `'exclusive'`.
   */
  mode?: 'exclusive' | 'shared' | undefined;
  /**
   * Aborts the wait, which rejects with `signal.reason`, or with an `AbortError` if the signal has
   * no reason. The signal does not release a held lock.
   */
  signal?: AbortSignalLike | undefined;
}

/** Files that are locked until {@link ChronicleLock.release}. Its functions do not use `this`. */
export interface ChronicleLock {
  /** The paths as given. */
  readonly paths: readonly string[];
  /**
   * Appends to one of the locked files, with all guarantees and options of {@link append}. `path`
   * is one of {@link ChronicleLock.paths} or another name of such a file, absolute or relative to
   * the working directory at the call. If an editor has replaced the file, the new file is locked
   * first, which may wait.
   *
   * @throws ChronicleError (as a rejection), as {@link append}; `EVALIDATION` also for a path
   *   outside the lock and for a `'shared'` lock; `ECLOSED` after a call of `release()`.
   */
  append<T extends EventType>(
    path: PathOrUrl,
    event: EventToAppend<T>,
    options?: AppendOptions,
  ): Promise<Receipt>;
  /**
   * Refuses further appends, waits until the accepted ones are settled, releases all locks, and
   * resolves. Further calls return the same promise.
   */
  release(): Promise<void>;
  /**
   * As {@link ChronicleLock.release}, for `await using`. Only where `Symbol.asyncDispose` exists.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Locks all of the files or none, until the caller releases them: for an editor session or a
 * migration. The files may be any regular files, of any suffix (`anyExtension` has no effect). A
 * missing file and its directories are created. Two names of one file are one lock. No lock is held
 * while a file is not free, so two such calls never deadlock. Waiting holds no thread.
 *
 * Appends use the same lock: until `release()`, all appends to these files wait, also those of this
 * process, except for the lock's own `append`. Readers are not affected. A lock file beside each
 * file (`.<name>.chronicle-lock`) is locked, too, so two locks exclude each other even if an editor
 * replaces the file by a rename. The new file is locked within 250 ms; appends of other processes
 * may come before.
 *
 * The lock ends with its process or its worker thread, or when its object is garbage collected. A
 * lock does not keep the process alive.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no array, an empty one, a bad path or
 *   option, or no regular file. `ELOCK_TIMEOUT`: not all files were free in time; `path` is one
 *   that was not, with `waitedMs` and, if the system reports it, `holderPid`. `EIO`: the system
 *   failed, see `cause.code`. `EUNSUPPORTED`: the file system does not honour locks.
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
  paths: readonly PathOrUrl[],
  options?: LockOptions,
): Promise<ChronicleLock>;
