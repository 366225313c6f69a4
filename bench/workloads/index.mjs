import { processes } from './processes.mjs';
import { cold, many, memory, reading, sizes } from './sized.mjs';
import { batches, inFlight, sequential } from './writing.mjs';

const all = [sequential, inFlight, batches, processes, many, sizes, cold, memory, reading];

/** By name, in the order they run; one with `at` runs once for each size. */
export const workloads = Object.fromEntries(all.map((workload) => [workload.name, workload]));
