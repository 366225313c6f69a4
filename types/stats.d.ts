/** What a process did, in numbers and as it happens. */

import type { BadLine, Receipt } from '../index.js';

/** What {@link chronicleStats} gives. All counts are since the process loaded the addon. */
export interface ChronicleStats {
  /** Events that were written and acknowledged. */
  appends: number;
  /** Events that were acknowledged because the file had them already. */
  duplicates: number;
  /** Batches that were written: appends that are under way at the same time share one. */
  batches: number;
  /** Syncs of chronicles, failed ones included. */
  syncs: number;
  /** Calls of append and its kin that are not settled. */
  pending: number;
  /** About how many bytes their events have. Beyond 256 MiB appends are refused. */
  pendingBytes: number;
  /** How long the lock was waited for, each time it was got: by a batch or by `lockChronicles`. */
  lockWait: Histogram;
}

/** Durations, counted by their length. */
export interface Histogram {
  /** How many. */
  count: number;
  /** Their sum in milliseconds. */
  totalMs: number;
  /** The longest in milliseconds. */
  maxMs: number;
  /**
   * How many took at most `leMs` milliseconds and more than the bucket before, in this order. The
   * last one has the bound `Infinity`.
   */
  buckets: { leMs: number; count: number }[];
}

/**
 * Synchronous: counters of this process, its worker threads included.
 *
 * @throws Never.
 */
export function chronicleStats(): ChronicleStats;

/**
 * What is published on each channel of `node:diagnostics_channel`, by its name. Nothing is collected
 * while nobody listens. Subscribe before the append; each thread hears of its own calls. What a
 * subscriber throws harms no append: Node.js makes it an `uncaughtException`.
 *
 * @example
 * ```ts
 * import { subscribe } from 'node:diagnostics_channel';
 * import type { ChronicleChannels } from '@sage/chronicle';
 *
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

/** A call of append or its kin has settled. It has `receipts` or `error`. */
export interface AppendMessage {
  /** The path as it was given. */
  path: string;
  /** One receipt for each event. */
  receipts?: Receipt[];
  /** What the call rejected with or threw. */
  error?: unknown;
  /** Milliseconds from the call. */
  durationMs: number;
}

/** A batch with appends of this thread has settled. Batches that failed are not told. */
export interface BatchMessage {
  /** The absolute path. */
  path: string;
  /** Calls that share the batch, those of other threads included. */
  appends: number;
  /** Events that were written. */
  events: number;
  /** Events that the file had already. */
  duplicates: number;
  /** Bytes that were written. */
  bytes: number;
  /** Milliseconds from the first try for the lock until it was got. */
  lockWaitMs: number;
  /**
   * Milliseconds of the sync, which it may have shared with other batches; absent where it was told
   * before one.
   */
  syncMs?: number;
}

/** A lock was got, by a batch or by `lockChronicles`, or was not free in time. */
export interface LockMessage {
  /** The absolute path; of a lock that `lockChronicles` got, the path as it was given. */
  path: string;
  /** Milliseconds. */
  waitedMs: number;
  /** `false`: it was not free in time. */
  acquired: boolean;
  /** The process that held it then, where the system tells. */
  holderPid?: number;
}

/** A reader has met a line that is no record. `line` is 0 where the lines were not counted. */
export interface BadLineMessage extends BadLine {
  /** The absolute path. */
  path: string;
}
