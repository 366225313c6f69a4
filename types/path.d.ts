/** Paths, and the options that all functions on a path take. */

/**
 * The path of a chronicle, absolute or relative to the working directory at the call. The path ends
 * in `.sage` (unless `anyExtension` is set) and has no `..` segment. Any string has this type.
 */
export type ChroniclePath = string;

/**
 * A `file:` URL of this computer, such as `new URL('agent.sage', import.meta.url)`. A URL is
 * recognised by its shape, so that it may be of another realm.
 */
export interface FileUrl {
  readonly href: string;
  readonly protocol: string;
}

/** A path, or a `file:` URL. A URL with another scheme or with a host is `EVALIDATION`. */
export type PathOrUrl = ChroniclePath | FileUrl;

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
 * Synchronous: returns the path, as text, if it may name a chronicle. Nothing is opened.
 *
 * @throws ChronicleError `EVALIDATION`: the path is no string and no `file:` URL, is empty, is not
 *   well-formed Unicode (a lone surrogate), or has a NUL character or a `..` segment. The path has
 *   no file name at the end (`/`, `logs/`). The path does not end in `.sage`, without
 *   `anyExtension`.
 */
export function validateChroniclePath(path: PathOrUrl, options?: PathOptions): ChroniclePath;
