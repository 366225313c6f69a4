// The programs in C and Rust that show what the system itself can do.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { quantile } from './numbers.mjs';

const execute = promisify(execFile);

/** What a program printed: the numbers of each line. */
export async function numbersOf(program, ...args) {
  const { stdout } = await execute(program, args.map(String), { maxBuffer: 1 << 28 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
}

/** The figures of a program that prints the nanoseconds of each append, the first ones left out. */
export async function latencies(program, path, warmUp, count, length) {
  const took = (await numbersOf(program, path, warmUp + count, length))
    .slice(warmUp)
    .map(([nanoseconds]) => nanoseconds / 1000);
  return { micros: quantile(took, 0.5), p99: quantile(took, 0.99), longest: Math.max(...took) };
}
