// The working folder of a process may be removed or changed while it runs.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { run as runProgram } from './cli';
import { folder } from './support';

const program = fileURLToPath(new URL('./working-folder-process.cjs', import.meta.url));

function run(part: string): any {
  const place = folder();
  mkdirSync(join(place, 'work'));
  mkdirSync(join(place, 'other'));
  const text = execFileSync(process.execPath, [program, part, place], { encoding: 'utf8' });
  return JSON.parse(text);
}

describe.skipIf(process.platform === 'win32')('a working folder that was removed', () => {
  it('makes each call on a relative path reject as an error of the package with path and cause', () => {
    const seen = run('relative');
    expect(Object.keys(seen).length).toBeGreaterThan(20);
    for (const [name, error] of Object.entries(seen)) {
      expect({ name, error }).toMatchObject({
        name,
        error: { name: 'ChronicleError', code: 'EIO', cause: 'ENOENT', path: expect.any(String) },
      });
      const written = /append/i.test(name) ? 'no' : undefined;
      expect({ name, written: (error as any).written }).toEqual({ name, written });
    }
  });

  it('is not asked for where the path is absolute', () => {
    expect(run('absolute')).toEqual({
      read: 1,
      adapter: [2, 2],
      handle: 3,
      chain: 4,
      lock: 5,
      fake: 1,
      follow: 0,
    });
  });

  it('leaves the command its absolute paths', async () => {
    const place = folder();
    const line =
      'cd "$1" && rmdir "$1" && "$NODE" "$BIN" append "$2" "$3" && "$NODE" "$BIN" tail "$2"';
    const event = '{"type":"X","timestamp":"2026-01-01T00:00:00Z","actor":{"agent":"a","id":"b"}}';
    mkdirSync(join(place, 'work'));
    const log = join(place, 'log.sage');
    const outcome = await runProgram(
      '/bin/sh',
      ['-c', line, 'sh', join(place, 'work'), log, event],
      null,
    );
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(outcome.stdout)).toMatchObject({ type: 'X' });
  });
});

describe('a working folder that changes', () => {
  it('leaves a lock its files, by the names that were given', () => {
    expect(run('changed')).toEqual({ seq: [1, 2, 1], code: 'EVALIDATION', records: 2 });
  });
});
