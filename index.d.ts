/**
 * Append-only NDJSON event logs ("chronicles") that many processes, worker threads and languages
 * write at once. A resolved append is in the file exactly once; a reader is never blocked.
 *
 * Functions that return a promise never throw synchronously: a bad argument rejects with
 * {@link ChronicleError} `EVALIDATION`, too. Only the functions marked "synchronous" throw.
 *
 * If the addon of this platform is missing or cannot be loaded, loading the package throws an
 * `Error` whose `code` is `'ERR_CHRONICLE_BINDING'`. Its message says what to do.
 *
 * @packageDocumentation
 */

// Stars, not lists: an augmentation of `ChronicleEventMap` merges through a star only.
export * from './types/path.js';
export * from './types/errors.js';
export * from './types/events.js';
export * from './types/identity.js';
export * from './types/append.js';
export * from './types/lock.js';
export * from './types/read.js';
export * from './types/batches.js';
export * from './types/checks.js';
export * from './types/repair.js';
export * from './types/stats.js';
export * from './types/handle.js';
export * from './types/compat.js';
