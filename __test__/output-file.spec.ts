// What the command writes besides a log destroys nothing that stands at its path, and follows no
// link of a stranger.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { cli, parsedLines, shell, startCli } from './cli';
import { chronicle, note, scratchFolder } from './scratch';
import { Child } from './child';

const scratch = scratchFolder();
const isRoot = process.getuid?.() === 0;

let log: string;
beforeEach(async () => {
  log = scratch.path('log.sage');
  await chronicle.appendEvents(log, [note('a'), note('b')]);
});

/** Every name in the folder, but those of the log. */
const others = () => readdirSync(scratch.folder()).filter((name) => !name.includes('log.sage'));

/** Both ways to have the command write a file: with what it prints, and with a cursor. */
const ways = [
  ['export --output', (path: string) => ['export', log, '--output', path]],
  ['read --cursor-file', (path: string) => ['read', log, '--cursor-file', path]],
] as const;

describe.each(ways)('%s', (_, args) => {
  it('makes a file, on the disk before it has its name', async () => {
    const path = scratch.path('out');
    expect(await cli(args(path))).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(path, 'utf8')).not.toBe('');
    expect(others()).toEqual(['out']);
    expect(statSync(path).mode & 0o777).toBe(0o666 & ~process.umask());
  });

  it.skipIf(!isRoot)('writes into a device, which stays one', async () => {
    const path = scratch.path('null');
    expect(spawnSync('mknod', [path, 'c', '1', '3']).status).toBe(0);
    expect(await cli(args(path))).toMatchObject({ code: 0, stderr: '' });
    expect(lstatSync(path).isCharacterDevice()).toBe(true);
    expect(others()).toEqual(['null']);
  });

  it('gives its content to the reader of a FIFO', async () => {
    const path = scratch.path('fifo');
    expect(spawnSync('mkfifo', [path]).status).toBe(0);
    const reader = new Child('/bin/sh', [
      '-c',
      'exec 3<>"$1"; echo open; exec cat <&3',
      'sh',
      path,
    ]);
    await reader.line((line) => line === 'open');
    expect(await cli(args(path))).toMatchObject({ code: 0, stderr: '' });
    await reader.line((line) => line.startsWith('c') || line.includes('"mark":"b"'));
    expect(lstatSync(path).isFIFO()).toBe(true);
  });

  it('follows a symlink of the user: the link stays, its target gets the content', async () => {
    mkdirSync(scratch.path('deep'));
    writeFileSync(scratch.path('deep/target'), '');
    symlinkSync('deep/target', scratch.path('link'));
    symlinkSync('deep/new', scratch.path('dangling'));
    for (const [link, target] of [
      ['link', 'deep/target'],
      ['dangling', 'deep/new'],
    ] as const) {
      expect(await cli(args(scratch.path(link)))).toMatchObject({ code: 0, stderr: '' });
      expect(readlinkSync(scratch.path(link))).toBe(target);
      expect(readFileSync(scratch.path(target), 'utf8')).not.toBe('');
    }
    expect(readdirSync(scratch.path('deep')).sort()).toEqual(['new', 'target']);
  });

  it('keeps the mode and the owner of the file whose place it takes', async () => {
    const path = scratch.path('out');
    writeFileSync(path, '');
    chmodSync(path, 0o640);
    if (isRoot) chownSync(path, 12, 34);
    const inode = statSync(path).ino;
    expect(await cli(args(path))).toMatchObject({ code: 0, stderr: '' });
    const { mode, uid, gid, ino } = statSync(path);
    expect(mode & 0o777).toBe(0o640);
    expect(ino).not.toBe(inode);
    if (isRoot) expect([uid, gid]).toEqual([12, 34]);
  });

  it('takes a name as long as names may be', async () => {
    const path = scratch.path('n'.repeat(255));
    for (let run = 0; run < 2; run += 1) {
      expect(await cli(args(path))).toMatchObject({ code: 0, stderr: '' });
    }
    expect(others()).toEqual(['n'.repeat(255)]);
  });

  it('refuses a folder and the log itself, and leaves nothing behind', async () => {
    mkdirSync(scratch.path('folder'));
    linkSync(log, scratch.path('same'));
    const before = readFileSync(log);
    for (const [name, code] of [
      ['folder', 1],
      ['same', 2],
      ['none/out', 1],
    ] as const) {
      const outcome = await cli(args(scratch.path(name)));
      expect({ name, code: outcome.code }).toEqual({ name, code });
    }
    expect(readFileSync(log)).toEqual(before);
    expect(others().sort()).toEqual(['folder', 'same']);
  });
});

describe('a cursor file', () => {
  it('follows no link at the name of a temporary file', async () => {
    const path = scratch.path('cursor');
    const victim = scratch.path('victim');
    writeFileSync(victim, 'mine');
    // The shell becomes the command, which so has its number.
    const outcome = await shell(
      'ln -s victim "$1/cursor.$$"; exec "$NODE" "$BIN" read "$1/log.sage" --cursor-file "$1/cursor"',
      scratch.folder(),
    );
    expect(outcome.code).toBe(0);
    expect(readFileSync(victim, 'utf8')).toBe('mine');
    expect(lstatSync(path).isFile()).toBe(true);
  });

  it('is left as it was when the new one cannot be written, with nothing beside it', async () => {
    const path = scratch.path('cursor');
    expect((await cli(['read', log, '--cursor-file', path])).code).toBe(0);
    const before = readFileSync(path, 'utf8');
    await chronicle.append(log, note('c'));
    const outcome = await shell(
      'ulimit -f 0; "$NODE" "$BIN" read "$1" --cursor-file "$2" | cat',
      log,
      path,
    );
    expect(outcome.stderr).toContain('cannot write');
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(others()).toEqual(['cursor']);
  });
});

describe('an export', () => {
  it('to - and /dev/stdout is printed, also where that is a file', async () => {
    for (const name of ['-', '/dev/stdout', '/proc/self/fd/1']) {
      const printed = await cli(['export', log, '-o', name]);
      expect(parsedLines(printed.stdout).map(({ mark }) => mark)).toEqual(['a', 'b']);
    }
    const path = scratch.path('out');
    writeFileSync(path, 'before\n');
    const line = '"$NODE" "$BIN" export "$1" -o /dev/stdout >> "$2"; echo after >> "$2"';
    expect((await shell(line, log, path)).code).toBe(0);
    expect(readFileSync(path, 'utf8')).toMatch(/^before\n.*\n.*\nafter\n$/);
  });

  it('to a descriptor that the shell opened is written into it', async () => {
    const path = scratch.path('out');
    const line = 'exec 7>"$2"; echo before >&7; chronicle export "$1" -o /dev/fd/7; echo after >&7';
    expect((await shell(line, log, path)).code).toBe(0);
    expect(readFileSync(path, 'utf8')).toMatch(/^before\n.*\n.*\nafter\n$/);
  });

  it('that is interrupted leaves the old file, and nothing beside it', async () => {
    const path = scratch.path('out');
    writeFileSync(path, 'old');
    writeFileSync(log, `${JSON.stringify(note('x'))}\n`.repeat(300_000));
    const child = startCli('export', log, '-o', path);
    const begun = () => others().some((name) => name.startsWith('.chr-'));
    let isOver = false;
    void child.ended.then(() => (isOver = true));
    while (!begun() && !isOver) await new Promise((resolve) => setImmediate(resolve));
    child.kill('SIGTERM');
    expect(await child.ended).toEqual({ code: null, signal: 'SIGTERM' });
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(others()).toEqual(['out']);
  });
});
