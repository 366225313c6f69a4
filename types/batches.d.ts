import type {
  AbortSignalLike,
  appendLines,
  ChroniclePath,
  PathOptions,
  ReadOptions,
} from '../index.js';
import type { FollowIterator, Place, Where } from './read.js';

/**
 * Some records that stand behind each other in one file, as the lines that they are there. Blank
 * lines and bad lines are left out.
 */
export interface LineBatch {
  /**
   * Whole lines with their newlines, byte for byte as they are stored. Only the last line may have
   * no newline: it ends its file and has none there. The type is `Uint8Array` in a project without
   * the types of Node.js.
   */
  bytes: typeof globalThis extends { Buffer: { alloc(size: number): infer B } } ? B : Uint8Array;
  /** How many records they are. */
  count: number;
  /** The number of the first record in its file, from 1. */
  first: number;
  /** The number of the last record. With `where` there may be others between. */
  last: number;
  /**
   * The number of the record that was given before: 0 at the start of a file. Where none was given,
   * how many records stand before the place to begin at.
   */
  after: number;
  /** The place behind the last record, for `from: { cursor }` here or in another process. */
  cursor: string;
  /**
   * What the file of these records is to the file before. Other than `'same'` only in the first
   * batch of a file.
   *
   * - `'same'`: the same file, or a copy in which the record given last has its number.
   * - `'next'`: the file before was renamed away or deleted, and given to its end.
   * - `'rewritten'`: the record given last has another number in it, or is gone. All of the file is given
   *   again, from its start.
   * - `'unknown'`: nothing that was given is in it. Records between the two may be missing.
   */
  file: 'same' | 'next' | 'rewritten' | 'unknown';
}

/** Options of {@link followBatches}. `undefined` counts as absent; unknown names are refused. */
export interface FollowBatchesOptions extends PathOptions {
  /** The first record; `'end'` gives only what comes. Default `'start'`. */
  from?: Place | undefined;
  /** Only those that match. */
  where?: Where | undefined;
  /** Bytes of a batch, at most; a longer record is a batch by itself. Default 524288 (512 KiB). */
  maxBytes?: number | undefined;
  /** Records of a batch, at most. Default 4096. */
  maxEvents?: number | undefined;
  /**
   * Gives only what is on the disk, so that no power cut takes it from the log any more. Default `false`.
   * Bytes that came after the file was opened are synced (`fdatasync`). Bytes that were there are
   * synced, dropped from the page cache and read again. On a log whose writers sync, that costs little.
   * On Windows it needs the right to write to the file.
   */
  synced?: boolean | undefined;
  /** {@inheritDoc ReadOptions.onBadLine} */
  onBadLine?: ReadOptions['onBadLine'];
  /** Called before the first batch of a file that is not the same, with its {@link LineBatch.file}. */
  onFile?: ((state: 'next' | 'rewritten' | 'unknown') => void) | undefined;
  /** Called each time that everything which was there at the last look was given. */
  onCaughtUp?: (() => void) | undefined;
  /** Ends the iteration: `for await` is left as after the last batch. */
  signal?: AbortSignalLike | undefined;
}

/** The batches of {@link followBatches}. */
export type BatchIterator = FollowIterator<LineBatch>;

/**
 * The records of a chronicle and then those that are appended to it, as whole lines: for what sends or
 * copies a log. A parsed event is not its record: written again, `1e400` becomes `null`
 * and `12345678901234567890` another number.
 *
 * It follows the file as {@link followChronicle} does. A file that was rewritten is given again from
 * its start, because records may have moved to before the last one that was given.
 *
 * A last record that has no newline yet is given without one, and never again once it has one. A
 * program that joins batches puts a newline behind a batch that ends without one;
 * {@link appendLines} does so.
 *
 * @throws ChronicleError (as a rejection of `next()`), as {@link followChronicle}. With `synced`, `EIO`
 *   whose `cause` names `fdatasync` when the disk fails: then the iteration is over, and nothing was
 *   given that the disk may lack. Another one goes on from `cursor`; it reads everything behind that
 *   again from the disk before it gives it.
 *
 * @example
 * ```ts
 * for await (const batch of followBatches(path, { from: { cursor }, synced: true, signal })) {
 *   await send(batch.bytes, { after: batch.after, first: batch.first, last: batch.last });
 *   cursor = batch.cursor;
 * }
 * ```
 */
export function followBatches(path: ChroniclePath, options?: FollowBatchesOptions): BatchIterator;
