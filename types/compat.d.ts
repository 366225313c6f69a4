/**
 * Names of the TypeScript predecessor that are kept for its callers. Each says what to use instead.
 * Their paths may be any path: no `.sage` at the end is asked for, and `..` is resolved (by
 * {@link acquireLock} it is refused).
 */

import type { ChronicleEvent } from './events.js';
import type { ChroniclePath } from '../index.js';

/** Options that the predecessor's duplicate checks took. They change nothing: answers are exact. */
export interface DuplicateCheckOptions {
  /** Accepted: a number, 0 or more. The whole file is looked at. */
  windowSize?: number | undefined;
  /** Accepted: a boolean. No index has to be kept. */
  useIndex?: boolean | undefined;
}

/**
 * Appends an event without computing an id, and without looking at more of it than its `type`.
 * `timeoutMs` is the lock timeout in milliseconds (default 2000).
 *
 * @deprecated Use `append` (with `computeId: false`).
 * @throws ChronicleError (as a rejection), as `append`.
 */
export function atomicAppendEvent(
  path: string,
  event: { type: string },
  timeoutMs?: number,
): Promise<void>;

/**
 * Every event of the file, whatever its name.
 *
 * @deprecated Use `readChronicle` (with `anyExtension: true`).
 * @throws ChronicleError (as a rejection), as `readChronicle`.
 */
export function readChronicleFile<E = ChronicleEvent>(path: string): Promise<E[]>;

/**
 * The last `n` events of the file (default 10), whatever its name.
 *
 * @deprecated Use `tailChronicle` (with `anyExtension: true`).
 * @throws ChronicleError (as a rejection), as `tailChronicle`.
 */
export function tailChronicleFile<E = ChronicleEvent>(path: string, n?: number): Promise<E[]>;

/**
 * Whether something is at the path and may be reached. Never rejects.
 *
 * @deprecated Use `access` of `node:fs/promises`. Readers take a missing file as an empty one.
 */
export function fileExists(path: string): Promise<boolean>;

/**
 * Makes the folder that the file is to be in, and those above it.
 *
 * @deprecated Not needed: `append` makes missing folders.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no string. `EIO`: the system refused, see
 *   `cause.code`.
 */
export function ensureChronicleDirectory(path: string): Promise<void>;

/**
 * Whether an event with this id would not be written, because a record has it as `eventId` or
 * `idempotencyKey`: over the whole file, exactly. `false` for a file that cannot be read.
 *
 * @deprecated Not needed: `append` decides it under the lock; its receipt says `duplicate`.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: an argument of the wrong type.
 */
export function isDuplicateEvent(
  path: string,
  eventId: string,
  options?: DuplicateCheckOptions,
): Promise<boolean>;

/**
 * {@link isDuplicateEvent} under its other name.
 *
 * @deprecated Not needed: `append` decides it under the lock; its receipt says `duplicate`.
 * @throws ChronicleError (as a rejection), as {@link isDuplicateEvent}.
 */
export function isDuplicateUsingIndex(path: string, eventId: string): Promise<boolean>;

/**
 * {@link isDuplicateEvent} for several ids in one reading of the file.
 *
 * @deprecated Not needed: `appendEvents` decides it under the lock; its receipts say `duplicate`.
 * @throws ChronicleError (as a rejection), as {@link isDuplicateEvent}.
 */
export function batchCheckDuplicates(
  path: string,
  eventIds: readonly string[],
  options?: DuplicateCheckOptions,
): Promise<Map<string, boolean>>;

/**
 * Resolves: there is nothing to maintain. The side index of a long log is kept by its writers.
 *
 * @deprecated Not needed.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: no string.
 */
export function maintainEventIndex(path: string): Promise<void>;

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
