/** The errors of the package. */

/**
 * The stable error codes.
 *
 * - `EVALIDATION`: a bad path, event, option or argument. Nothing was touched.
 * - `ELOCK_TIMEOUT`: the lock was not free by the deadline. Nothing was written.
 * - `EIO`: the system failed; `cause.code` is the system's code.
 * - `ECONFLICT`: the log does not meet a condition of the caller.
 * - `ECORRUPT`: a bad line, if the caller asked for an error.
 * - `ECLOSED`: the handle or lock was closed.
 * - `EUNSUPPORTED`: the file system does not honour the lock.
 */
export type ErrorCode =
  'EVALIDATION' | 'ELOCK_TIMEOUT' | 'EIO' | 'ECONFLICT' | 'ECORRUPT' | 'ECLOSED' | 'EUNSUPPORTED';

/** The names of the codes, frozen. */
export const ErrorCodes: { readonly [Code in ErrorCode]: Code } & {
  /** @deprecated Never used; the system's `EPERM` and `EACCES` arrive as `EIO` with that cause. */
  readonly EPERMISSION: 'EPERMISSION';
  /** @deprecated Never used; see `ELOCK_TIMEOUT`. */
  readonly ETIMEOUT: 'ETIMEOUT';
  /** @deprecated Never used. */
  readonly EHALT: 'EHALT';
};

/** The cause of an error: the system's error, or a value that the caller's code threw. */
export interface ChronicleErrorCause extends Error {
  /** The system's code: `ENOSPC`, `EACCES`, `EMFILE`, ... */
  code?: string;
  /** The system's error number, as in `os.constants.errno`. */
  errno?: number;
  /** The operation that failed: `open`, `write`, `fdatasync`, ... */
  syscall?: string;
}

/** The fields of a {@link ChronicleError} that only some codes have. */
export interface ChronicleErrorDetails {
  /** The file. */
  path?: string | undefined;
  /** The cause of the error. */
  cause?: ChronicleErrorCause | undefined;
  /** Of every rejected append: `'no'`, no bytes are in the file; `'unknown'`, some may be. */
  written?: 'no' | 'unknown' | undefined;
  /** Of `ELOCK_TIMEOUT`: the time waited for the lock, in milliseconds. */
  waitedMs?: number | undefined;
  /** Of `ELOCK_TIMEOUT`: the process that held the lock, if the system reports it. */
  holderPid?: number | undefined;
  /** Of a batch: the index of the event at fault, from 0. */
  index?: number | undefined;
  /** Of `ECORRUPT`: the line, from 1. */
  line?: number | undefined;
  /** Of `ECORRUPT`: first byte of the line, from 0. */
  offset?: number | undefined;
  /**
   * Of `ECONFLICT` by `expectedTail`: the id of the last record. `null` for a log without records;
   * absent if the last record has no id.
   */
  actualTail?: string | null | undefined;
  /** Of `ECONFLICT` by `expectedTail`: the number of the last record, from 1; 0 without records. */
  seq?: number | undefined;
}

/** The only class of errors that this package makes. `name` is `'ChronicleError'`. */
export class ChronicleError extends Error {
  constructor(code: ErrorCode, message: string, details?: ChronicleErrorDetails);
  /** The kind of failure, for programs. The code of a kind never changes. */
  readonly code: ErrorCode;
  /** {@inheritDoc ChronicleErrorDetails.path} */
  readonly path?: string | undefined;
  /** {@inheritDoc ChronicleErrorDetails.cause} */
  readonly cause?: ChronicleErrorCause | undefined;
  /** {@inheritDoc ChronicleErrorDetails.written} */
  readonly written?: 'no' | 'unknown' | undefined;
  /** {@inheritDoc ChronicleErrorDetails.waitedMs} */
  readonly waitedMs?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.holderPid} */
  readonly holderPid?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.index} */
  readonly index?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.line} */
  readonly line?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.offset} */
  readonly offset?: number | undefined;
  /** {@inheritDoc ChronicleErrorDetails.actualTail} */
  readonly actualTail?: string | null | undefined;
  /** {@inheritDoc ChronicleErrorDetails.seq} */
  readonly seq?: number | undefined;
}

/**
 * Whether `error` is a {@link ChronicleError}, with this `code` if one is given. The test is by
 * shape, so errors of another realm or another copy of the package count.
 */
export function isChronicleError<C extends keyof typeof ErrorCodes = ErrorCode>(
  error: unknown,
  code?: C,
): error is ChronicleError & { readonly code: C };
