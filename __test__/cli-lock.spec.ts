import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cli, startCli } from './cli';
import { chronicle, note, scratchFolder } from './scratch';

const scratch = scratchFolder();

/** A command that says `held`, and ends at the next line of input. */
const HOLD = ['sh', '-c', 'echo held; read line'];

async function isFree(path: string, mark: string): Promise<boolean> {
  const { code } = await cli(['append', path, JSON.stringify(note(mark)), '--timeout', '0']);
  expect([0, 3]).toContain(code);
  return code === 0;
}

describe('chronicle lock', () => {
  it('keeps others out of every file while the command runs, and no longer', async () => {
    const paths = ['a.sage', 'b.txt'].map(scratch.path);
    const [log = '', other = ''] = paths;
    const holder = startCli('lock', ...paths, '--', ...HOLD);
    await holder.line((line) => line === 'held');
    expect(existsSync(other)).toBe(true);
    expect(await isFree(log, 'a')).toBe(false);
    const second = await cli(['lock', other, '--timeout', '0', '--', 'echo', 'ran']);
    expect(second).toMatchObject({ code: 3, stdout: '' });
    expect(second.stderr).toMatch(/^chronicle: ELOCK_TIMEOUT /);
    holder.send('');
    expect(await holder.ended).toEqual({ code: 0, signal: null });
    expect(await isFree(log, 'b')).toBe(true);
    expect((await cli(['lock', other, '--timeout', '0', '--', 'echo', 'ran'])).stdout).toBe(
      'ran\n',
    );
  });

  it('lasts as long as the command when chronicle itself is killed', async () => {
    const path = scratch.path('log.sage');
    // Its input ends with chronicle, so it waits for a file.
    const script = `echo held
      while kill -0 $PPID; do sleep 0.01; done 2>/dev/null
      echo alone
      until test -e "$1"; do sleep 0.01; done`;
    const holder = startCli('lock', path, '--', 'sh', '-c', script, 'sh', scratch.path('end'));
    try {
      await holder.line((line) => line === 'held');
      holder.kill('SIGKILL');
      await holder.line((line) => line === 'alone');
      expect(await isFree(path, 'a')).toBe(false);
    } finally {
      writeFileSync(scratch.path('end'), '');
    }
    expect((await holder.ended).signal).toBe('SIGKILL');
    expect(await isFree(path, 'b')).toBe(true);
  });

  it('ends with the code of the command, or that of its signal', async () => {
    const path = scratch.path('log.sage');
    const codeOf = async (...command: string[]) =>
      (await cli(['lock', path, '--', ...command])).code;
    expect(await codeOf('true')).toBe(0);
    expect(await codeOf('sh', '-c', 'exit 42')).toBe(42);
    expect(await codeOf('sh', '-c', 'kill -TERM $$')).toBe(143);
    const missing = await cli(['lock', path, '--', scratch.path('nothing')]);
    expect(missing.code).toBe(127);
    expect(missing.stderr).toContain('cannot run');
    const told = await cli(['lock', path, '--json', '--', scratch.path('nothing')]);
    expect(JSON.parse(told.stderr).error.code).toBe('ENOENT');
    expect(await codeOf(scratch.folder())).toBe(126);
    expect(await isFree(path, 'a')).toBe(true);
  });

  it('gives the command its input, output, arguments and options as they are', async () => {
    const path = scratch.path('log.sage');
    const { code, stdout, stderr } = await cli(
      ['lock', path, '--', 'sh', '-c', 'cat; echo "$@" >&2', 'sh', '--json', '--', '-h'],
      'input\n',
    );
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: 'input\n',
      stderr: '--json -- -h\n',
    });
  });

  it('passes signals on to the command, and waits for it', async () => {
    const path = scratch.path('log.sage');
    // The child gives up in the end, so that it does not outlive a test that fails.
    const script = `trap "echo told; exit 7" TERM
      echo held
      left=3000
      while test $((left -= 1)) -gt 0; do sleep 0.01; done`;
    const holder = startCli('lock', path, '--', 'sh', '-c', script);
    await holder.line((line) => line === 'held');
    holder.kill('SIGTERM');
    expect(await holder.ended).toEqual({ code: 7, signal: null });
    expect(holder.lines).toEqual(['held', 'told']);
  });

  it('shares with those that share', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('a'));
    const holder = startCli('lock', '--shared', path, '--', ...HOLD);
    await holder.line((line) => line === 'held');
    const shared = ['lock', path, '--timeout', '0', '--shared', '--', 'cat', path];
    expect((await cli(shared)).stdout).toBe(readFileSync(path, 'utf8'));
    expect(await isFree(path, 'b')).toBe(false);
    holder.send('');
    expect(await holder.ended).toEqual({ code: 0, signal: null });
  });
});
