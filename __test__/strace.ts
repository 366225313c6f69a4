import { spawnSync } from 'node:child_process';
import { present, skipped } from './scratch';

/** Whether programs can run under strace; otherwise reports the skipped tests to the runner. */
export function mayTrace(suite: string): boolean {
  if (!present(suite, 'strace')) return false;
  const probe = spawnSync('strace', ['-f', '--seccomp-bpf', '-qq', '-e', 'trace=getpid', 'true']);
  if (probe.status !== 0) skipped(suite, 'a permission to trace not found');
  return probe.status === 0;
}

/**
 * The fault that strace injects, in its syntax: `write:error=EIO:when=1`. It counts per thread and
 * per call.
 */
export interface Faults {
  path: string;
  inject: string[];
  trace?: string;
  /** Calls on this file only; else on `path`. */
  only?: string;
}

export function straceCommand(faults: Faults): { log: string; command: string[] } {
  const { path, inject, trace = '', only = path } = faults;
  const log = `${path}.trace`;
  const calls = inject.map((fault) => fault.split(':')[0]);
  const traced = [...calls, ...(trace ? [trace] : [])].join(',');
  const injections = inject.flatMap((fault) => ['-e', `inject=${fault}`]);
  // With its filter in the kernel strace is quick, and silently sends no signal.
  const quick = inject.some((fault) => fault.includes(':signal=')) ? [] : ['--seccomp-bpf'];
  const options = ['-f', ...quick, '-qq', '-o', log, '-P', only, '-e', `trace=${traced}`];
  return { log, command: ['strace', ...options, ...injections] };
}
