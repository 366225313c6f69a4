/**
 * Analysing and repairing chronicles.
 */

import type { ChainValidationResult } from './checks.js';
import type { AbortSignalLike, PathOptions, PathOrUrl } from './path.js';

/** Options of {@link analyzeChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface AnalyzeOptions extends PathOptions {
  /** Aborts the analysis, which rejects with `signal.reason`. */
  signal?: AbortSignalLike | undefined;
}

/** The result of {@link analyzeChronicle}. */
export interface ChronicleAnalysis {
  /** All records, with any fields. */
  totalEvents: number;
  /**
   * The number of events of each `type`, in order of first occurrence. Events without a type are
   * not counted.
   */
  eventTypes: Record<string, number>;
  /**
   * The earliest and the latest `timestamp`, compared as instants (without a zone: UTC), in the
   * text of the file; integer milliseconds as ISO 8601. `null` if none can be read.
   */
  timeRange: { start: string; end: string } | null;
  /**
   * Actors by `agent:id`, in order of first occurrence. Events that lack either are not counted.
   * `firstSeen` and `lastSeen` are as in `timeRange`, or `''` if no timestamp of the actor can be
   * read.
   */
  actors: Record<
    string,
    { agent: string; eventCount: number; firstSeen: string; lastSeen: string }
  >;
  /** Complete lines that are no events. A torn tail is not counted. */
  corruptedLines: number;
  /** Events with the canonical form, without `eventId`, of an earlier event. */
  duplicateEvents: number;
  /** The result of {@link validateCausalChain}. */
  causalChainIntegrity: ChainValidationResult;
  /** Mean length of the events' JSON texts, in UTF-16 units; 0 without events. */
  avgEventSize: number;
  /**
   * The event with the longest JSON text, the first of equal ones. `index` is among the events,
   * from 0; `size` is in UTF-16 units; `type` is `''` without a type. It is `{ index: -1, size: 0,
   * type: '' }` without events.
   */
  largestEvent: { index: number; size: number; type: string };
  /**
   * The number of events by the first 13 characters of `timestamp` (`2026-01-02T03`), if it is a
   * string.
   */
  eventsByHour: Record<string, number>;
  /**
   * Possible faults, as text: no events; copies; an event over 10,000 units; more than 24 hours
   * with fewer than 10 events. Also single-event actors for over 80 % of the events.
   */
  warnings: string[];
  /** Faults, as text: a broken causal chain. */
  errors: string[];
}

/**
 * Analyses the events that the chronicle had when the call began, off the main thread. The analysis
 * takes no lock and writes nothing. Memory grows by some 80 bytes for each event, and by the
 * result. A missing file has no events.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option. `EIO`: the system
 *   failed.
 */
export function analyzeChronicle(
  path: PathOrUrl,
  options?: AnalyzeOptions,
): Promise<ChronicleAnalysis>;

/**
 * Synchronous: the analysis as readable text: totals, time range, chain, counts by type, the five
 * most active actors, warnings, errors. Lines end in `\n`, except for the last.
 *
 * @throws ChronicleError `EVALIDATION`: no analysis.
 */
export function formatAnalysisReport(analysis: ChronicleAnalysis): string;

/** Options of {@link deduplicateConsecutiveEvents}. `undefined` counts as absent. */
export interface DeduplicateOptions extends PathOptions {
  /**
   * The longest wait for the lock, in milliseconds: a finite number, 0 or more. 0 tries once.
   * Reading and writing are not counted. Default 2000.
   */
  lockTimeoutMs?: number | undefined;
  /**
   * Aborts the call, which rejects with `signal.reason` and leaves the chronicle unchanged. The
   * signal has no effect on the last step, the rename of the new file; then the call resolves.
   */
  signal?: AbortSignalLike | undefined;
}

/** Options of {@link repairChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface ChronicleRepairOptions extends DeduplicateOptions {
  /** Only return the plan: no lock is taken and nothing is written. Default `false`. */
  dryRun?: boolean | undefined;
  /**
   * Move out events whose `eventId` or `idempotencyKey` an earlier event has as its id or key, even
   * if their other fields differ. Default `false`.
   */
  removeDuplicates?: boolean | undefined;
  /**
   * Sort the events by `timestamp`, as instants; events of one instant keep their order. An event
   * without a readable timestamp stays behind the event before it. Takes some 50 bytes of memory
   * for each event. Default `false`.
   */
  fixTimestampOrder?: boolean | undefined;
  /** `true` is refused with `EUNSUPPORTED`: an id is a hash of the link, too. Default `false`. */
  repairCausalChain?: boolean | undefined;
  /**
   * Keep the old file as `<name>.backup.<ms>`. `false` removes it, unless a process appended to it
   * without the lock during the replacement. Default `true`.
   *
   * With `false`, an append of another process that was being synced at that moment runs again on
   * the new file. An event without id and key is then not recognised as a duplicate and is written
   * twice.
   */
  createBackup?: boolean | undefined;
}

/** A line that is moved out. */
export interface RemovedLine {
  /**
   * - `'torn'`: the bytes after the last newline were no record.
   * - `'malformed'`: no JSON object, or longer than 64 MiB.
   * - `'nul'`: no JSON object, with NUL bytes.
   * - `'duplicate'`: an earlier event, which stays, has the id or key.
   * - `'bom'`: the byte order mark before an event. The event stays; `length` is that of the mark.
   */
  kind: 'torn' | 'malformed' | 'nul' | 'duplicate' | 'bom';
  /** Line number in the old file, from 1. */
  line: number;
  /** First byte in the old file, from 0. */
  offset: number;
  /** Bytes, without the newline. */
  length: number;
}

/** The result of {@link repairChronicle}. */
export interface ChronicleRepairResult {
  /** The file was rewritten. */
  repaired: boolean;
  /** The old file; absent if nothing was rewritten or without `createBackup`. */
  backupPath?: string;
  /** The file of the removed lines, byte for byte; absent if there are none. */
  removedPath?: string;
  /** The changes, as text. */
  changesApplied: string[];
  /** Warnings, as text. */
  warnings: string[];
  /** The plan, also of a dry run. */
  plan: {
    /** Events that stay. */
    kept: number;
    /**
     * The first 10,000 lines that are moved out, in file order. The command `chronicle repair`
     * prints all.
     */
    removed: RemovedLine[];
    /** The number of lines after those in `removed`; absent if zero. */
    removedOmitted?: number;
    /** Events whose index among the events changes. */
    reordered: number;
  };
}

/**
 * Moves the torn tail, malformed lines and lines with NUL bytes out of the chronicle, and the lines
 * that the options select. Every other line is kept byte for byte, also blank lines. An
 * unterminated event at the end gets its newline.
 *
 * The repair waits for the lock and copies the kept lines into a new file, which is synced. Then
 * the old file gets a second name, and the new file is renamed to the path. After any failure, or
 * if the process is killed, the path names the whole old file or the whole new file. Writers wait
 * during the repair. Mode and owner are kept, access control lists are not. A symlink is followed.
 *
 * A chronicle without faults is not touched and not locked. The same holds for a missing one.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option, no regular file, or
 *   several hard links. `ELOCK_TIMEOUT`: the lock was not free in time. `ECONFLICT`: the file was
 *   replaced meanwhile. `EUNSUPPORTED`: the file system does not honour the lock, or
 *   `repairCausalChain` is set. `EIO`: the system failed. `written` is `'no'` if the chronicle is
 *   unchanged, and `'unknown'` if the new file is in place but may not be durable.
 */
export function repairChronicle(
  path: PathOrUrl,
  options?: ChronicleRepairOptions,
): Promise<ChronicleRepairResult>;

/**
 * Moves out each event whose `eventId` is that of the event before it, and returns their number.
 * Blank lines are ignored. Bad lines stay, and separate the events around them. The files are those
 * of {@link repairChronicle}.
 *
 * @throws ChronicleError (as a rejection), as {@link repairChronicle}.
 */
export function deduplicateConsecutiveEvents(
  path: PathOrUrl,
  options?: DeduplicateOptions,
): Promise<number>;
