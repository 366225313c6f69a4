// Exit codes that say the truth, times that mean what they mean to the library, names, and cells.
import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { bin, cli, commands, parse, parsedLines, run, shell } from './cli';
import { chronicle, note, scratchFolder } from './scratch';

const scratch = scratchFolder();
const require = createRequire(import.meta.url);

async function logOf(...events: object[]): Promise<string> {
  const path = scratch.path('log.sage');
  await chronicle.appendEvents(path, events as any);
  return path;
}

describe('the exit code', () => {
  it.each([
    ['bad', 1],
    ['good', 0],
  ])('of verify is that of its verdict when its output is closed: a %s log', async (kind, code) => {
    const path = scratch.path('log.sage');
    // More than a pipe holds.
    const line = kind === 'bad' ? 'no json' : JSON.stringify(note('a'));
    writeFileSync(path, `${line}\n`.repeat(20_000));
    for (const json of ['', '--json']) {
      const script = `{ chronicle verify "$1" ${json}; echo "code $?" >&2; } | head -c 1`;
      const { stderr } = await shell(script, path);
      expect(stderr).toContain(`code ${code}`);
    }
  });

  it('of other commands is 0 when their output is closed', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, `${JSON.stringify(note('a'))}\n`.repeat(20_000));
    const script = '{ chronicle read "$1"; echo "code $?" >&2; } | head -c 1';
    expect((await shell(script, path)).stderr).toContain('code 0');
  });

  it('is 1 when the process ends before the work, which says so', async () => {
    const preload = scratch.path('lost.cjs');
    const commands = require.resolve('../lib/cli/commands/index.js');
    writeFileSync(
      preload,
      `const { commands } = require(${JSON.stringify(commands)});
       commands.find(({ name }) => name === 'count').run = () => new Promise(() => {});`,
    );
    const given = ['-r', preload, bin, 'count', await logOf(note('a'))];
    const outcome = await run(process.execPath, given, null);
    expect(outcome).toEqual({
      code: 1,
      stdout: '',
      stderr: 'chronicle: ended before its work was done\n',
    });
  });
});

describe('the output', () => {
  it('counts as written when all writes before are, also those that others began', async () => {
    const { Output } = require('../lib/cli/output.js');
    const written: string[] = [];
    const ends: (() => void)[] = [];
    const stream = new PassThrough();
    stream.write = ((text: string, end: () => void) => {
      ends.push(() => {
        written.push(text);
        end();
      });
      return true;
    }) as any;
    const output = new Output(stream);
    await output.line('one');
    const first = output.flush();
    let isFlushed = false;
    const second = output.flush().then(() => (isFlushed = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isFlushed).toBe(false);
    for (const end of ends) end();
    await Promise.all([first, second]);
    expect(written).toEqual(['one\n']);
  });
});

describe('times', () => {
  it('are taken by the command as by the library', async () => {
    const path = await logOf(note('a', { timestamp: '2026-01-01T10:00:00Z' }));
    const times = [
      '2026-01-01T00:00:00+02',
      '2026-01-01T09:59:60Z',
      '2026-01-01T00:00:05,5Z',
      '2026-01',
      '2025-12-31T24:00',
      '1767225600000',
      '-1767225600000',
      '+002026-01-01',
    ];
    const count = commands.find(({ name }) => name === 'count')!;
    for (const since of times) {
      const { options } = parse(count, [path, `--since=${since}`]) as any;
      expect(await chronicle.countEvents(path, { since: options.since })).toBe(1);
    }
  });

  it('that the library refuses, or that look like seconds, are mistakes in the command line', async () => {
    const path = await logOf(note('a'));
    const count = commands.find(({ name }) => name === 'count')!;
    for (const since of ['2026-01-01 10:00', 'Jan 1 2026', '2026-13-01', '01/02/2026', '']) {
      expect(() => parse(count, [path, `--since=${since}`])).toThrow('--since must be a time');
    }
    const seconds = await cli(['count', path, '--since', '1767225600']);
    expect(seconds.code).toBe(2);
    expect(seconds.stderr).toContain('1767225600 looks like seconds, which would be 1767225600000');
  });

  it('order a chain as points in time, whatever their offsets', async () => {
    const ids = ['root', 'middle', 'last'];
    const timestamps = [
      '2026-01-01T12:00:00+09:00',
      '2026-01-01T04:00:00Z',
      '2026-01-01T00:00:00.5-05:00',
    ];
    const path = await logOf(
      ...ids.map((eventId, n) =>
        note(eventId, { eventId, timestamp: timestamps[n], prevEventId: ids[n - 1] }),
      ),
    );
    const chain = await chronicle.getCompleteChain(path, 'middle');
    expect(chain.map(({ eventId }) => eventId)).toEqual(ids);
    const { toMaintainCausalChain } = require('../testing.js');
    expect(toMaintainCausalChain(chain).pass).toBe(true);
  });
});

describe.skipIf(process.platform !== 'linux')('an argument that is no UTF-8', () => {
  it('is a mistake in the command line, and touches no file', async () => {
    for (const line of [
      `chronicle append "$1/$(printf '\\377').sage" '{}'`,
      `chronicle read "$1/$(printf '\\377')"`,
      `chronicle count "$1/x" --type "$(printf '\\377')"`,
    ]) {
      const { code, stderr } = await shell(line, scratch.folder());
      expect(code).toBe(2);
      expect(stderr).toContain('an argument is not UTF-8');
    }
    expect(readdirSync(scratch.folder())).toEqual([]);
    const path = scratch.path('\ufffd.sage');
    expect((await cli(['append', path, JSON.stringify(note('a'))])).code).toBe(0);
  });
});

describe('csv', () => {
  const textOf = async (text: string) => {
    const path = await logOf();
    writeFileSync(path, '');
    appendFileSync(path, `${JSON.stringify({ type: 'X', text })}\n`);
    const given = ['export', path, '--format', 'csv', '--columns', 'text'];
    return (await cli(given)).stdout.split('\r\n').slice(1, -1).join('\r\n');
  };

  it('has texts that a spreadsheet would take for formulas behind an apostrophe', async () => {
    expect(await textOf('=HYPERLINK("http://x")')).toBe(`"'=HYPERLINK(""http://x"")"`);
    for (const text of ['+1+1', '-2+3', '@SUM(A1)', '\t=1'])
      expect(await textOf(text)).toBe(`'${text}`);
    expect(await textOf('\r=1')).toBe(`"'\r=1"`);
    for (const text of ['-5', '+3.25', 'a=b', "'x", '']) expect(await textOf(text)).toBe(text);
  });

  it('has a text with half a surrogate pair as JSON', async () => {
    expect(await textOf('a\ud800b')).toBe('"""a\\ud800b"""');
    expect(await textOf('😀')).toBe('😀');
  });
});

describe('an addon that may not be loaded', () => {
  it.each([
    ['--no-addons', ['--no-addons'], '--no-addons'],
    ['the permission model', ['--experimental-permission', '--allow-fs-read=*'], '--allow-addons'],
  ])('names %s, not the installation', async (_, flags, hint) => {
    const index = require.resolve('../index.js');
    const script = `try { require(${JSON.stringify(index)}) } catch (e) { console.log(JSON.stringify([e.code, e.message])) }`;
    const { stdout } = await run(process.execPath, [...flags, '-e', script], null);
    const [code, message] = parsedLines(stdout)[0];
    expect(code).toBe('ERR_CHRONICLE_BINDING');
    expect(message).toContain(hint);
    expect(message).not.toContain('install again');
  });
});
