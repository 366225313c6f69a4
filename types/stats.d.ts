/** Counters of a process, and messages of its diagnostics channels. */

import type { Receipt } from './append.js';
import type { BadLine } from './read.js';

/** The result of {@link chronicleStats}. All counts begin when the process loads the addon. */
export interface ChronicleStats {
  /** Events that were written and acknowledged. */
  appends: number;
  /** Acknowledged events that the file had already. */
  duplicates: number;
  /** Written batches. Concurrent appends share a batch. */
  batches: number;
  /** Syncs of chronicles, failed ones included. */
  syncs: number;
  /** Calls of append functions that are not settled. */
  pending: number;
  /** The approximate bytes of the pending events. Above 256 MiB appends are refused. */
  pendingBytes: number;
  /** The wait for each acquired lock, of a batch or of `lockChronicles`. */
  lockWait: Histogram;
}

/** A histogram of durations. */
export interface Histogram {
  /** The number of durations. */
  count: number;
  /** Their sum in milliseconds. */
  totalMs: number;
  /** The longest in milliseconds. */
  maxMs: number;
  /**
   * The number of durations of at most `leMs` milliseconds and above the bound of the bucket
   * before. The last bound is `Infinity`.
   */
  buckets: { leMs: number; count: number }[];
}

/**
 * Synchronous: the counters of this process, with those of its worker threads.
 *
 * @throws Never.
 */
export function chronicleStats(): ChronicleStats;

/**
 * The messages of each channel of `node:diagnostics_channel`, by the channel's name. Without
 * subscribers nothing is collected. Subscribe before the append. Each thread receives messages
 * about its own calls. An error of a subscriber does not affect the append: Node.js makes it an
 * `uncaughtException`.
 *
 * @example
 * ```ts
 * import { subscribe } from 'node:diagnostics_channel';
 *  *
 * subscribe('sage:chronicle:batch', (message) => {
 *   const { path, syncMs } = message as ChronicleChannels['sage:chronicle:batch'];
 * });
 * ```
 */
export interface ChronicleChannels {
  'sage:chronicle:append': AppendMessage;
  'sage:chronicle:batch': BatchMessage;
  'sage:chronicle:lock': LockMessage;
  'sage:chronicle:badline': BadLineMessage;
}

/** A call of an append function has settled. The message has `receipts` or `error`. */
export interface AppendMessage {
  /** The path as given. */
  path: string;
  /** One receipt for each event. */
  receipts?: Receipt[];
  /** The error of the call. */
  error?: unknown;
  /** Milliseconds from the call. */
  durationMs: number;
}

/** A batch with appends of this thread has succeeded. Failed batches are not published. */
export interface BatchMessage {
  /** The absolute path. */
  path: string;
  /** Calls that share the batch, with those of other threads. */
  appends: number;
  /** Written events. */
  events: number;
  /** Events that the file had already. */
  duplicates: number;
  /** Written bytes. */
  bytes: number;
  /** Milliseconds from the first try of the lock to its acquisition. */
  lockWaitMs: number;
  /**
   * Milliseconds of the sync, which other batches may share. Absent if the batch was acknowledged
   * before a sync.
   */
  syncMs?: number;
}

/** A batch or `lockChronicles` has acquired a lock, or a lock was not free in time. */
export interface LockMessage {
  /** The absolute path; for `lockChronicles` the path as given. */
  path: string;
  /** Milliseconds. */
  waitedMs: number;
  /** `false`: the lock was not free in time. */
  acquired: boolean;
  /** The process that held the lock at that time, if the system reports it. */
  holderPid?: number;
}

/** A reader has found a line that is no record. `line` is 0 if the lines were not counted. */
export interface BadLineMessage extends BadLine {
  /** The absolute path. */
  path: string;
}
