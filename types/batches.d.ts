import type { appendLines } from './append.js';
import type { AbortSignalLike, PathOptions, PathOrUrl } from './path.js';
import type { FollowIterator, Place, ReadOptions, Where } from './read.js';

/**
 * Consecutive records of one file, as whole lines. Blank lines and bad lines are left out.
 */
export interface LineBatch {
  /**
   * Whole lines with their newlines, byte for byte as stored. Only the last line of a file may lack
   * its newline. The type is `Uint8Array` in a project without the types of Node.js.
   */
  bytes: typeof globalThis extends { Buffer: { alloc(size: number): infer B } } ? B : Uint8Array;
  /** The number of records. */
  count: number;
  /** The number of the first record in its file, from 1. */
  first: number;
  /** The number of the last record. With `where` the batch may lack records between the two. */
  last: number;
  /**
   * The number of the record before the batch: 0 at the start of a file. In the first batch, the
   * number of records before the start of the iteration.
   */
  after: number;
  /** The position after the last record, for `from: { cursor }` in any process. */
  cursor: string;
  /**
   * The relation of the file of these records to the file before. Only the first batch of a file
   * has another value than `'same'`.
   *
   * - `'same'`: the same file, or a copy in which the last returned record has the same number.
   * - `'next'`: the file before was renamed away or deleted, and was returned to its end.
   * - `'rewritten'`: the last returned record has another number, or is missing. The whole file is
   *   returned again, from its start.
   * - `'unknown'`: the file has no returned record. Records between the two files may be missing.
   */
  file: 'same' | 'next' | 'rewritten' | 'unknown';
}

/** Options of {@link followBatches}. `undefined` counts as absent; unknown names are refused. */
export interface FollowBatchesOptions extends PathOptions {
  /** The first record; `'end'` returns only later records. Default `'start'`. */
  from?: Place | undefined;
  /** Only records that match. */
  where?: Where | undefined;
  /** The most bytes of a batch; a longer record is a batch of its own. Default 524288 (512 KiB). */
  maxBytes?: number | undefined;
  /** The most records of a batch. Default 4096. */
  maxEvents?: number | undefined;
  /**
   * Return only records that are on the disk, which no power cut can remove from the log. Default
   * `false`. Bytes written after the file was opened are synced (`fdatasync`). Bytes that were
   * there before are synced, dropped from the page cache and read again. If the writers sync, the
   * option costs little. On Windows it requires the right to write to the file.
   */
  synced?: boolean | undefined;
  /** {@inheritDoc ReadOptions.onBadLine} */
  onBadLine?: ReadOptions['onBadLine'];
  /** Called before the first batch of another file, with its {@link LineBatch.file}. */
  onFile?: ((state: 'next' | 'rewritten' | 'unknown') => void) | undefined;
  /** Called each time when all records found by the last look were returned. */
  onCaughtUp?: (() => void) | undefined;
  /** Ends the iteration: `for await` ends as after the last batch. */
  signal?: AbortSignalLike | undefined;
}

/** The batches of {@link followBatches}. */
export type BatchIterator = FollowIterator<LineBatch>;

/**
 * The records of a chronicle, then the records appended later, as whole lines: for programs that
 * send or copy a log. A parsed event is not its record: written again, `1e400` becomes `null` and
 * `12345678901234567890` becomes another number.
 *
 * The file is followed as by {@link followChronicle}. A rewritten file is returned again from its
 * start, because records may have moved before the last returned one.
 *
 * A last record without a newline is returned without one, and not again once the newline is
 * written. A program that joins batches must add a newline to a batch that ends without one; {@link
 * appendLines} does so.
 *
 * @throws ChronicleError (as a rejection of `next()`), as {@link followChronicle}. With `synced`,
 *   `EIO` whose `cause` names `fdatasync` if the disk fails. The iteration then ends; all returned
 *   records are on the disk. Another iteration can start at `cursor`; it reads all later bytes from
 *   the disk again before it returns them.
 *
 * @example
 * ```ts
 * for await (const batch of followBatches(path, { from: { cursor }, synced: true, signal })) {
 *   await send(batch.bytes, { after: batch.after, first: batch.first, last: batch.last });
 *   cursor = batch.cursor;
 * }
 * ```
 */
export function followBatches(path: PathOrUrl, options?: FollowBatchesOptions): BatchIterator;
