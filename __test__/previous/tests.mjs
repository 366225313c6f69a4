// What holds between the version before this one (`old`) and today's (`new`).
import { appending } from './appending.mjs';
import { following } from './following.mjs';
import { indexing } from './indexing.mjs';
import { locking } from './locking.mjs';

/**
 * Names, and what is done with `path`, a log that is not there yet, and `start`, which starts a
 * process of a version.
 */
export const tests = [...appending, ...locking, ...indexing, ...following];
