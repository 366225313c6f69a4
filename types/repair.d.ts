/**
 * What a chronicle holds, and taking out of it what does not belong in it.
 */

import type { ChainValidationResult } from './checks.js';
import type { AbortSignalLike, ChroniclePath, PathOptions } from '../index.js';

/** Options of {@link analyzeChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface AnalyzeOptions extends PathOptions {
  /** Gives the analysis up: it rejects with `signal.reason` as it is. */
  signal?: AbortSignalLike | undefined;
}

/** What {@link analyzeChronicle} finds. */
export interface ChronicleAnalysis {
  /** Events: records, whatever their fields. */
  totalEvents: number;
  /** Events of each `type`, in the order in which the types come up. Events without one are in none. */
  eventTypes: Record<string, number>;
  /**
   * The earliest and the latest `timestamp`, compared as instants (one without a zone counts as UTC)
   * and told as they stand in the file; integer milliseconds as ISO 8601. `null` if none can be read.
   */
  timeRange: { start: string; end: string } | null;
  /**
   * Actors by `agent:id`, in the order in which they come up. Events without both are nobody's.
   * `firstSeen` and `lastSeen` as in `timeRange`, `''` if none of the actor's can be read.
   */
  actors: Record<
    string,
    { agent: string; eventCount: number; firstSeen: string; lastSeen: string }
  >;
  /** Complete lines that are no events. A torn tail is none of them. */
  corruptedLines: number;
  /** Events whose canonical form, `eventId` aside, an earlier one has. */
  duplicateEvents: number;
  /** As {@link validateCausalChain} has it. */
  causalChainIntegrity: ChainValidationResult;
  /** Mean length of the events' JSON texts, in UTF-16 units; 0 without events. */
  avgEventSize: number;
  /**
   * The event with the longest JSON text, the first of equal ones: its place among the events, from
   * 0, the length in UTF-16 units and the type (`''` where it has none). Without events
   * `{ index: -1, size: 0, type: '' }`.
   */
  largestEvent: { index: number; size: number; type: string };
  /** Events by the first 13 characters of `timestamp` (`2026-01-02T03`), where that is a string. */
  eventsByHour: Record<string, number>;
  /**
   * What may be wrong, for people: no events; copies; an event over 10,000 units; more than 24 hours
   * with fewer than 10 events; single-event actors for over 80 % of the events.
   */
  warnings: string[];
  /** What is wrong, for people: a broken causal chain. */
  errors: string[];
}

/**
 * Counts what the chronicle held when the call began, off the main thread. It takes no lock and
 * writes nothing. Memory grows by some 80 bytes for each event and by what is counted. A missing
 * file has no events.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option. `EIO`: the system
 *   failed.
 */
export function analyzeChronicle(
  path: ChroniclePath,
  options?: AnalyzeOptions,
): Promise<ChronicleAnalysis>;

/**
 * Synchronous: the analysis as a text for people: totals, time range, chain, counts by type, the
 * five most active actors, warnings, errors. Lines end in `\n`, but for the last.
 *
 * @throws ChronicleError `EVALIDATION`: no analysis.
 */
export function formatAnalysisReport(analysis: ChronicleAnalysis): string;

/** Options of {@link deduplicateConsecutiveEvents}. `undefined` counts as absent. */
export interface DeduplicateOptions extends PathOptions {
  /**
   * How long to wait for the lock, in milliseconds: a finite number, 0 or more. 0 tries once. Reading
   * and writing are not counted. Default 2000.
   */
  lockTimeoutMs?: number | undefined;
  /**
   * Gives it up and leaves the chronicle as it was: it rejects with `signal.reason` as it is. Too
   * late for the last step, in which the new file takes its place; then the call resolves.
   */
  signal?: AbortSignalLike | undefined;
}

/** Options of {@link repairChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface ChronicleRepairOptions extends DeduplicateOptions {
  /** Only tell the plan: no lock is taken and nothing is written. Default `false`. */
  dryRun?: boolean | undefined;
  /**
   * Move out events that an earlier one has by `eventId` or `idempotencyKey`, ids and keys being one
   * name space, whatever else they hold. Default `false`.
   */
  removeDuplicates?: boolean | undefined;
  /**
   * Sort the events by `timestamp`, as instants, equal ones in file order; one whose timestamp cannot
   * be read stays behind the one before it. Takes some 50 bytes of memory for each event. Default
   * `false`.
   */
  fixTimestampOrder?: boolean | undefined;
  /** `true` is refused with `EUNSUPPORTED`: an id is a hash of the link too. Default `false`. */
  repairCausalChain?: boolean | undefined;
  /**
   * Keep the old file as `<name>.backup.<ms>`. `false` removes it, unless somebody appended to it
   * without the lock while it was replaced. Without it an append of another process that was being
   * synced at that moment runs again on the new file, where an event without id and key cannot be
   * recognised and is written twice. Default `true`.
   */
  createBackup?: boolean | undefined;
}

/** A line that is moved out. */
export interface RemovedLine {
  /**
   * `'torn'`: what stood behind the last newline was no record. `'malformed'`: no JSON object or
   * longer than 64 MiB. `'nul'`: no JSON object, with NUL bytes. `'duplicate'`: an event that stays
   * and stands before it has its id or key. `'bom'`: only the byte order mark before an event, of
   * which `length` tells; the event stays.
   */
  kind: 'torn' | 'malformed' | 'nul' | 'duplicate' | 'bom';
  /** Line number in the old file, from 1. */
  line: number;
  /** First byte in the old file, from 0. */
  offset: number;
  /** Bytes, without the newline. */
  length: number;
}

/** What {@link repairChronicle} did, or would do. */
export interface ChronicleRepairResult {
  /** The file was rewritten. */
  repaired: boolean;
  /** The old file; absent if nothing was rewritten or no backup was asked for. */
  backupPath?: string;
  /** The file of the lines that were moved out, byte for byte; absent if there are none. */
  removedPath?: string;
  /** What was done, for people. */
  changesApplied: string[];
  /** What should be looked at, for people. */
  warnings: string[];
  /** What was decided, also by a dry run. */
  plan: {
    /** Events that stay. */
    kept: number;
    /**
     * Lines that are moved out, in file order: the first 10,000. The command `chronicle repair`
     * prints all.
     */
    removed: RemovedLine[];
    /** How many such lines come after those in `removed`; absent where there are none. */
    removedOmitted?: number;
    /** Events that stand elsewhere among the events than before. */
    reordered: number;
  };
}

/**
 * Moves the torn tail, malformed lines and lines with NUL bytes out of the chronicle, and what else
 * the options ask for. Every line that stays is kept byte for byte, blank ones too; an unterminated
 * event at the end gets its newline. It waits for the lock, copies what stays into a new file,
 * syncs it, gives the old file a second name and puts the new one in its place: whatever fails or is
 * killed, the path names the old file or the new one, whole. Writers wait meanwhile. Mode and owner
 * are kept (access control lists are not), and a symlink is followed first.
 *
 * A chronicle that needs nothing is left alone, without the lock. So is a missing one.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option, no regular file, or one
 *   with several hard links. `ELOCK_TIMEOUT`: the lock was not free in time. `ECONFLICT`: the file
 *   was replaced meanwhile. `EUNSUPPORTED`: the file system does not honour the lock, or
 *   `repairCausalChain` is set. `EIO`: the system failed; `written` is `'no'` where the chronicle is
 *   as it was, and `'unknown'` where the new file is in place but perhaps not durably.
 */
export function repairChronicle(
  path: ChroniclePath,
  options?: ChronicleRepairOptions,
): Promise<ChronicleRepairResult>;

/**
 * Moves out each event whose `eventId` is that of the event before it, and tells how many those
 * were. Blank lines count for nothing; bad lines stay, and so do events on both sides of one. Files
 * are left as by {@link repairChronicle}.
 *
 * @throws ChronicleError (as a rejection), as {@link repairChronicle}.
 */
export function deduplicateConsecutiveEvents(
  path: ChroniclePath,
  options?: DeduplicateOptions,
): Promise<number>;
