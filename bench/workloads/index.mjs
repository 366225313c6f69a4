import { processes } from './processes.mjs';
import { batches, inFlight, sequential } from './writing.mjs';

const all = [sequential, inFlight, batches, processes];

/** By name, in the order they run. */
export const workloads = Object.fromEntries(all.map((workload) => [workload.name, workload]));
