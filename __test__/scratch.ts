import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { endTheRest } from './child';

export const chronicle = createRequire(import.meta.url)(
  '../index.js',
) as typeof import('../index.js');

/** Whether tests run in full size, as they do in `.ci/run`. */
export const isLong = process.env.CHRONICLE_LONG === '1';

/** A fresh folder for each test; it and the child programs are gone after the test. */
export function scratchFolder(): { path: (name: string) => string; folder: () => string } {
  let current: string | undefined;
  const folder = () => (current ??= mkdtempSync(join(tmpdir(), 'chronicle-')));
  afterEach(async () => {
    // A living child would make the folder again.
    await endTheRest();
    if (current) rmSync(current, { recursive: true, force: true });
    current = undefined;
  });
  return { folder, path: (name) => join(folder(), name) };
}

/** Whether a program exists; otherwise reports the skipped tests to the runner. */
export function present(suite: string, program: string, args: string[] = ['--version']): boolean {
  if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) return true;
  skipped(suite, `${program} not found`);
  return false;
}

export function skipped(suite: string, reason: string): void {
  writeSync(1, `SKIPPED ${suite}: ${reason}\n`);
}

export function note<X extends object = object>(mark: string, extra: X = {} as X) {
  return {
    type: 'NOTE_TAKEN',
    timestamp: '2026-01-02T03:04:05.678Z',
    actor: { agent: 'test', id: mark.split(':')[0] || 'test' },
    mark,
    ...extra,
  };
}

/** The error of a promise that must reject. */
export async function failure(promise: Promise<unknown>): Promise<ErrorLike> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error as ErrorLike;
  }
  throw new Error(`resolved with ${JSON.stringify(value)} where it should have been rejected`);
}

export interface ErrorLike {
  code: string;
  message: string;
  path?: string;
  written?: 'no' | 'unknown';
  waitedMs?: number;
  holderPid?: number;
  cause?: { code?: string };
}
