/** Paths, and the options that all functions on a path take. */

/**
 * The path of a chronicle, absolute or relative to the working directory at the call. The path ends
 * in `.sage` (unless `anyExtension` is set) and has no `..` segment. Any string has this type.
 */
export type ChroniclePath = string;

/** Options of every function on a path. `undefined` counts as absent. */
export interface PathOptions {
  /** Accept paths that do not end in `.sage`. Default `false`. */
  anyExtension?: boolean | undefined;
}

/**
 * The option `signal`: an `AbortSignal` of Node.js, of a browser or of jsdom. A signal is
 * recognised by its shape, never by `instanceof`.
 */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * Synchronous: returns the path if it may name a chronicle. Nothing is opened.
 *
 * @throws ChronicleError `EVALIDATION`: the path is no string, is empty, is not well-formed Unicode
 *   (a lone surrogate), or has a NUL character or a `..` segment. The path has no file name at the
 *   end (`/`, `logs/`). The path does not end in `.sage`, without `anyExtension`.
 */
export function validateChroniclePath(path: string, options?: PathOptions): ChroniclePath;
