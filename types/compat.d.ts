/**
 * Functions of the TypeScript predecessor, kept for its callers. Each one names its replacement.
 * They accept any path: without `.sage` at the end, and with `..`, which is resolved ({@link
 * acquireLock} refuses it).
 */

import type { ChronicleEvent } from './events.js';
import type { PathOrUrl } from './path.js';

/** Options of the predecessor's duplicate checks. They have no effect: answers are exact. */
export interface DuplicateCheckOptions {
  /** Accepted: a number, 0 or more. The whole file is always checked. */
  windowSize?: number | undefined;
  /** Accepted: a boolean. No index is required. */
  useIndex?: boolean | undefined;
}

/**
 * Appends an event without computing an id. Only its `type` is checked.
 * `timeoutMs` is the lock timeout in milliseconds (default 2000).
 *
 * @deprecated Use `append` (with `computeId: false`).
 * @throws ChronicleError (as a rejection), as `append`.
 */
export function atomicAppendEvent(
  path: PathOrUrl,
  event: { type: string },
  timeoutMs?: number,
): Promise<void>;

/**
 * Every event of a file of any name.
 *
 * @deprecated Use `readChronicle` (with `anyExtension: true`).
 * @throws ChronicleError (as a rejection), as `readChronicle`.
 */
export function readChronicleFile<E = ChronicleEvent>(path: PathOrUrl): Promise<E[]>;

/**
 * The last `n` events (default 10) of a file of any name.
 *
 * @deprecated Use `tailChronicle` (with `anyExtension: true`).
 * @throws ChronicleError (as a rejection), as `tailChronicle`.
 */
export function tailChronicleFile<E = ChronicleEvent>(path: PathOrUrl, n?: number): Promise<E[]>;

/**
 * Whether the path exists and may be accessed. Never rejects.
 *
 * @deprecated Use `access` of `node:fs/promises`. For readers a missing file is an empty one.
 */
export function fileExists(path: PathOrUrl): Promise<boolean>;

/**
 * Creates the folder of the file, and the folders above it.
 *
 * @deprecated Not needed: `append` creates missing folders.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no string. `EIO`: the system refused, see
 *   `cause.code`.
 */
export function ensureChronicleDirectory(path: PathOrUrl): Promise<void>;

/**
 * Whether a record of the file has this id as `eventId` or `idempotencyKey`, so that an append
 * would not write the event. Exact over the whole file. `false` for a file that cannot be read.
 *
 * @deprecated Not needed: `append` decides it under the lock; its receipt says `duplicate`.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: an argument of the wrong type.
 */
export function isDuplicateEvent(
  path: PathOrUrl,
  eventId: string,
  options?: DuplicateCheckOptions,
): Promise<boolean>;

/**
 * {@link isDuplicateEvent} under its other name.
 *
 * @deprecated Not needed: `append` decides it under the lock; its receipt says `duplicate`.
 * @throws ChronicleError (as a rejection), as {@link isDuplicateEvent}.
 */
export function isDuplicateUsingIndex(path: PathOrUrl, eventId: string): Promise<boolean>;

/**
 * {@link isDuplicateEvent} for several ids, in one read of the file.
 *
 * @deprecated Not needed: `appendEvents` decides it under the lock; its receipts say `duplicate`.
 * @throws ChronicleError (as a rejection), as {@link isDuplicateEvent}.
 */
export function batchCheckDuplicates(
  path: PathOrUrl,
  eventIds: readonly string[],
  options?: DuplicateCheckOptions,
): Promise<Map<string, boolean>>;

/**
 * Resolves without any work. Writers maintain the side index of a long log.
 *
 * @deprecated Not needed.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no string.
 */
export function maintainEventIndex(path: PathOrUrl): Promise<void>;

/** The result of {@link acquireLock}. */
export interface AcquiredLock {
  /** The number of a locked descriptor. Closing it breaks the lock. */
  fd: number;
  /** The path of the locked file, as given. The predecessor returned the path of a lock file. */
  path: string;
  /** Releases the lock. Further calls have no effect. */
  release(): Promise<void>;
}

/**
 * Takes the exclusive lock of a file, waiting at most `timeoutMs` milliseconds (default 2000).
 *
 * @deprecated Use {@link lockChronicles}, whose lock can append.
 * @throws ChronicleError (as a rejection), as {@link lockChronicles}.
 */
export function acquireLock(path: PathOrUrl, timeoutMs?: number): Promise<AcquiredLock>;

/**
 * Does nothing and never rejects: the kernel releases the lock of a process that ended, so no lock
 * is stale.
 *
 * @deprecated Leave it out.
 */
export function cleanStaleLocks(path: PathOrUrl): Promise<void>;
