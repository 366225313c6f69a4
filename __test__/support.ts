// What several specs need: folders that vanish, events, and rejections as values.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { ChronicleError, ErrorCode } from '../index.mjs';

/** The generated binding, for what the public functions do not show on their own. */
export const binding = createRequire(import.meta.url)('../binding.js');

/** A new folder that is removed when the test ends. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'chronicle-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The path of a chronicle that is not there yet. */
export function freshPath(name = 'log.sage'): string {
  return join(folder(), name);
}

/** A valid event of an unknown type; `fields` come last and may replace the envelope's. */
export function event<F extends object>(fields: F = {} as F) {
  return {
    type: 'TEST_EVENT',
    timestamp: '2026-01-02T03:04:05.000Z',
    actor: { agent: 'tester', id: 'one' },
    ...fields,
  };
}

/** The complete lines of a file, without their newlines. */
export function linesOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text.split('\n').slice(0, -1);
}

/** What a promise rejects with; that it resolves fails the test. */
export async function rejection(promise: Promise<unknown>): Promise<any> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  return expect.fail(`resolved with ${shown(value)} instead of rejecting`);
}

/** What a call throws; that it returns fails the test. */
export function thrown(call: () => unknown): any {
  let value: unknown;
  try {
    value = call();
  } catch (error) {
    return error;
  }
  return expect.fail(`returned ${shown(value)} instead of throwing`);
}

function shown(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 300);
}

/** Checks an error of this package by everything that all of them share. */
export function expectCode(error: unknown, code: ErrorCode): ChronicleError {
  expect(error).toBeInstanceOf(Error);
  const chronicleError = error as ChronicleError;
  expect({ name: chronicleError.name, code: chronicleError.code }, String(error)).toEqual({
    name: 'ChronicleError',
    code,
  });
  expect(chronicleError.message).not.toBe('');
  return chronicleError;
}

/** The process warnings with this code that `work` causes. */
export async function warningsOf(code: string, work: () => Promise<unknown>): Promise<Error[]> {
  const seen: Error[] = [];
  const listen = (warning: Error) => {
    if ((warning as NodeJS.ErrnoException).code === code) seen.push(warning);
  };
  // Warnings are emitted on the next tick; a turn of the event loop is behind all of them.
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  process.on('warning', listen);
  try {
    await work();
    await turn();
  } finally {
    process.off('warning', listen);
  }
  return seen;
}

/** Numbers from a seed: the same seed gives the same test, and a failure names it. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed = Number(process.env.CHRONICLE_SEED ?? Date.now() % 2 ** 32)) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** A 32-bit integer, 0 or more. */
  bits(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** An integer from 0 to below `n`. */
  below(n: number): number {
    return this.bits() % n;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
