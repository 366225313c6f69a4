// The command hands the text of records through: in, out, and from one log to another.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cli, parsedLines, shell, startCli } from './cli';
import { chronicle, note, scratchFolder } from './scratch';

const scratch = scratchFolder();

const envelope = '"type":"X","timestamp":"2026-01-02T03:04:05Z","actor":{"agent":"a","id":"b"}';

/** Records that `JSON.parse` and `JSON.stringify` would change. */
const odd = [
  `{${envelope},"eventId":"huge","v":738529527931269425,"w":1e400,"x":1.50,"y":-0}`,
  '{"eventId":"order","2":1,"1":2,"a" : [ ] }',
  '{"eventId":"twice","v":1,"v":2}',
  '{"eventId":"escapes","t":"\\u0041\\/\\ud800 \\u0000\u2028\u{1f600}"}',
  ' \t{"eventId":"spaces"} \r',
  '{"n":1}',
];

describe('chronicle append', () => {
  it('stores the text of an event as it is, with the id right after the type', async () => {
    const path = scratch.path('log.sage');
    const text = '"10":1.50,"2":1e2,"t":"\\u0041\\/\u2028","a" : [ 0 ]';
    const outcome = await cli(['append', path, '--json'], ` {${envelope},${text}}\r\n`);
    expect(outcome.stderr).toBe('');
    const [{ eventId }] = parsedLines(outcome.stdout);
    const stored = envelope.replace('"X",', `"X","eventId":"${eventId}",`);
    expect(readFileSync(path, 'utf8')).toBe(`{${stored},${text}}\n`);
    expect((await cli(['verify', path])).code).toBe(0);
  });

  it('refuses digits that an id would not know, and keeps them where none is computed', async () => {
    const path = scratch.path('log.sage');
    const events = ['25', '26'].map((end) => `{${envelope},"v":{"w":[7385295279312694${end}]}}`);
    const refused = await cli(['append', path, '--json'], events.join('\n'));
    expect(refused.code).toBe(1);
    const { error } = JSON.parse(refused.stderr);
    expect(error).toMatchObject({ code: 'EVALIDATION', line: 1, written: 'no' });
    expect(error.message).toContain('line 1: X event has a number in v.w[0] that changes as a');
    expect(existsSync(path)).toBe(false);
    const kept = await cli(['append', path, '--json', '--no-id'], events.join('\n'));
    expect(parsedLines(kept.stdout)).toMatchObject([{ seq: 1 }, { seq: 2, duplicate: false }]);
    expect(readFileSync(path, 'utf8')).toBe(`${events.join('\n')}\n`);
  });

  it.each([
    ['with a key twice', `{${envelope},"type":"Y"}`, 'event has two members type'],
    ['with a key twice inside', `{${envelope},"v":[{"a":1,"\\u0061":2}]}`, 'two members v[0].a'],
    ['behind a byte order mark', `\ufeff{${envelope}}`, 'byte order mark (U+FEFF)'],
  ])('refuses an event %s, from a line and as a word', async (_, event, message) => {
    const path = scratch.path('log.sage');
    const line = await cli(['append', path], `${event}\n`);
    expect({ code: line.code, line: /line 1: /.test(line.stderr) }).toEqual({
      code: 1,
      line: true,
    });
    for (const { code, stderr } of [line, await cli(['append', path, event])]) {
      expect(code).toBe(1);
      expect(stderr).toContain(message);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('takes a word of several lines for one event, and a word of nothing for an error', async () => {
    const path = scratch.path('log.sage');
    const pretty = JSON.stringify(note('a'), null, 2);
    expect(await cli(['append', path, pretty])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await chronicle.readChronicle(path)).toMatchObject([note('a')]);
    const broken = await cli(['append', path, `{${envelope},"t":"\n"}`]);
    expect(broken.code).toBe(1);
    expect(broken.stderr).toContain('event is not valid JSON at byte');
    const { code, stderr } = await cli(['append', path, ' \n']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'chronicle: EVALIDATION EVENT_JSON is empty\n',
    });
    expect(await chronicle.readChronicle(path)).toHaveLength(1);
  });

  it.skipIf(process.platform === 'win32')('takes no folder for an empty input', async () => {
    const path = scratch.path('log.sage');
    for (const lines of ['', '--lines']) {
      const { stderr } = await shell(
        `chronicle append "$1" ${lines} < "$2"; echo $? >&2`,
        path,
        scratch.folder(),
      );
      expect(stderr).toBe(
        'chronicle: EVALIDATION the standard input is a folder, not a file or a pipe\n1\n',
      );
    }
    expect(existsSync(path)).toBe(false);
  });

  it('ends at a refused event though its producer continues', async () => {
    const child = startCli('append', scratch.path('log.sage'));
    child.send('{"type":"X"}');
    expect(await child.ended).toEqual({ code: 1, signal: null });
    expect(child.stderr).toContain('line 1: X event needs a non-empty string timestamp');
  });
});

describe('chronicle append --lines', () => {
  it('copies what read and export print, byte for byte, and each name once', async () => {
    const path = scratch.path('old.sage');
    const text = `${odd.join('\n')}\n`;
    writeFileSync(path, text);
    for (const print of ['read', 'export', 'tail --actor-id b -n 1']) {
      const copy = scratch.path('new.sage');
      writeFileSync(copy, '');
      const line = `chronicle ${print} "$1" | chronicle append --lines "$2" --json`;
      const { stdout, stderr } = await shell(line, path, copy);
      expect(stderr).toBe('');
      const expected = print.includes('-n 1') ? `${odd[0]}\n` : text;
      expect(readFileSync(copy, 'utf8')).toBe(expected);
      expect(parsedLines(stdout).every(({ duplicate }) => !duplicate)).toBe(true);
    }
    const again = await cli(['append', '--lines', scratch.path('new.sage'), '--json'], text);
    const receipts = parsedLines(again.stdout);
    expect(receipts.map(({ identical }) => identical)).toEqual(odd.map(() => true));
    expect(receipts.filter(({ duplicate }) => !duplicate)).toHaveLength(5);
  });

  it('stops at a line that is no record, with its number', async () => {
    const path = scratch.path('log.sage');
    const { code, stderr } = await cli(
      ['append', '--lines', path, '--json'],
      '{"n":1}\n\n{"n":2}\n[]\n{"n":3}\n',
    );
    expect(code).toBe(1);
    expect(JSON.parse(stderr).error).toMatchObject({
      code: 'EVALIDATION',
      line: 4,
      message: 'line 4: line is not a JSON object',
    });
    expect(readFileSync(path, 'utf8')).toBe('{"n":1}\n{"n":2}\n');
    const together = await cli(['append', '--lines', path, '--together'], '{"n":3}\n[]\n');
    expect(together.code).toBe(1);
    expect(readFileSync(path, 'utf8')).toBe('{"n":1}\n{"n":2}\n');
  });

  it('is refused with an option that would change a record, and with an argument', async () => {
    const path = scratch.path('log.sage');
    for (const args of [['--no-id'], ['--key', 'k'], ['--chain'], ['{}']]) {
      const { code, stderr } = await cli(['append', '--lines', path, ...args], '{}\n');
      expect(code).toBe(2);
      expect(stderr).toMatch(/^chronicle: --lines /);
    }
    expect(existsSync(path)).toBe(false);
  });
});

describe('chronicle read and export', () => {
  it('print records as they stand, also with positions and in an array', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, `${odd.join('\n')}\n`);
    const { stdout } = await cli(['read', path, '--positions', '--limit', '1']);
    expect(stdout).toBe(
      `{"event":${odd[0]},"seq":1,"offset":0,"length":${Buffer.byteLength(odd[0]!)}}\n`,
    );
    const reversed = await cli(['read', path, '--reverse']);
    expect(reversed.stdout).toBe(`${odd.toReversed().join('\n')}\n`);
    const array = await cli(['export', path, '--format', 'json']);
    expect(array.stdout).toBe(`[\n${odd.join(',\n')}\n]\n`);
  });

  it('tail --follow prints records as they stand', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, `${odd[0]}\n`);
    const follower = startCli('tail', '-f', path);
    await follower.until(() => follower.lines.length === 1);
    await chronicle.appendLines(path, odd.slice(1).join('\n'));
    await follower.until(() => follower.lines.length === odd.length);
    follower.kill('SIGINT');
    expect(await follower.ended).toEqual({ code: 0, signal: null });
    expect(follower.lines).toEqual(odd);
  });
});
