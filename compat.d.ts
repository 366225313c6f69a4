/**
 * Names of the TypeScript package that came before, for its callers only. New code uses what each
 * of them says.
 */

import type { ChroniclePath } from './index.js';

/** What {@link acquireLock} resolves with. */
export interface AcquiredLock {
  /** The number of a locked descriptor, to look at only: closing it breaks the lock. */
  fd: number;
  /** The file that is locked, as it was given. The predecessor's was that of a lock file. */
  path: string;
  /** Gives the lock back. Further calls change nothing. */
  release(): Promise<void>;
}

/**
 * Takes the exclusive lock of a file, waiting at most `timeoutMs` milliseconds (default 2000).
 *
 * @deprecated Use {@link lockChronicles}, whose lock can append.
 * @throws ChronicleError (as a rejection), as {@link lockChronicles}.
 */
export function acquireLock(path: ChroniclePath, timeoutMs?: number): Promise<AcquiredLock>;

/**
 * Does nothing, and never rejects: the kernel ends a lock with its holder, so none is stale.
 *
 * @deprecated Leave it out.
 */
export function cleanStaleLocks(path: ChroniclePath): Promise<void>;
