import { appendFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli, parsedLines, shell, startCli } from './cli';
import { chronicle, note, scratchFolder } from './scratch';

const scratch = scratchFolder();

/** A log with these events. */
async function logOf(events: ReturnType<typeof note>[], name = 'log.sage'): Promise<string> {
  const path = scratch.path(name);
  await chronicle.appendEvents(path, events);
  return path;
}

function notes(count: number, extra: (n: number) => object = () => ({})) {
  return Array.from({ length: count }, (_, n) => note(`m:${n}`, extra(n)));
}

function ndjson(events: object[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join('');
}

const marksOf = (text: string) => parsedLines(text).map(({ mark }) => mark);

describe('chronicle append', () => {
  it('appends the event of its argument, and prints nothing without a terminal', async () => {
    const path = scratch.path('new/log.sage');
    const outcome = await cli(['append', path, JSON.stringify(note('a'))]);
    expect(outcome).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(await chronicle.readChronicle(path)).toMatchObject([note('a')]);
  });

  it('prints a receipt for each event with --json', async () => {
    const path = await logOf([note('a')]);
    const { code, stdout } = await cli(
      ['append', path, '--json'],
      ndjson([note('a'), note('b'), note('c')]),
    );
    expect(code).toBe(0);
    expect(parsedLines(stdout)).toMatchObject([
      { seq: 1, duplicate: true, durable: true },
      { seq: 2, duplicate: false, durable: true },
      { seq: 3, duplicate: false, durable: true },
    ]);
  });

  it('takes 100,000 lines from a pipe, in their order', async () => {
    const path = scratch.path('log.sage');
    const { code, stdout } = await cli(['append', path, '--json'], ndjson(notes(100_000)));
    expect(code).toBe(0);
    expect(parsedLines(stdout).map(({ seq }) => seq)).toEqual(
      Array.from({ length: 100_000 }, (_, n) => n + 1),
    );
    const read = await chronicle.readChronicle<{ mark: string }>(path);
    expect(read.map(({ mark }) => mark)).toEqual(notes(100_000).map(({ mark }) => mark));
  });

  it('leaves a long log an index when it was run twice, so that the next one need not scan it', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, `{"text":"${'x'.repeat(1 << 20)}"}\n`.repeat(8));
    for (const mark of ['a', 'b']) {
      const outcome = await cli(['append', path, JSON.stringify(note(mark))]);
      expect(outcome).toMatchObject({ code: 0, stderr: '' });
    }
    const beside = readdirSync(dirname(path)).filter((name) => name.startsWith('.log.sage'));
    expect(beside).toEqual(['.log.sage.chronicle-index']);
  });

  it('appends a line when it comes, not when the input ends', async () => {
    const path = scratch.path('log.sage');
    const child = startCli('append', path, '--json');
    for (let n = 0; n < 3; n += 1) {
      child.send(JSON.stringify(note(`m:${n}`)));
      await child.until(() => child.lines.length === n + 1);
      expect(await chronicle.readChronicle(path)).toHaveLength(n + 1);
    }
    child.closeInput();
    expect(await child.ended).toEqual({ code: 0, signal: null });
  });

  it.each([
    ['that is no JSON', 'no json', 'line 4: event is not valid JSON at byte 1'],
    ['that is no object', '[]', 'line 4: event is not a JSON object'],
    ['that is no event', '{"type":"X"}', 'line 4: '],
    ['that is no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'line 4: event is not UTF-8 at byte 1'],
  ])('stops at a line %s: what is before it is in the log', async (_, bad, message) => {
    const path = scratch.path('log.sage');
    const before = `${ndjson([note('a')])}\r\n${ndjson([note('b')])}`;
    const after = `\n${ndjson([note('c')])}`;
    const input = Buffer.concat([Buffer.from(before), Buffer.from(bad), Buffer.from(after)]);
    const { code, stdout, stderr } = await cli(['append', path, '--json'], input);
    expect(code).toBe(1);
    expect(parsedLines(stdout)).toMatchObject([{ seq: 1 }, { seq: 2 }]);
    const { error } = JSON.parse(stderr);
    expect(error).toMatchObject({ code: 'EVALIDATION', line: 4 });
    expect(error.message).toContain(message);
    expect(marksOf(readFileSync(path, 'utf8'))).toEqual(['a', 'b']);
  });

  it('appends all or none with --together', async () => {
    const path = scratch.path('log.sage');
    // More than comes in one piece.
    const good = ndjson(notes(3000));
    for (const bad of ['no json\n', '{"type":"X"}\n']) {
      const { code, stderr } = await cli(['append', path, '--together'], good + bad);
      expect({ code, line: /line 3001/.test(stderr) }).toEqual({ code: 1, line: true });
      expect(existsSync(path) && readFileSync(path, 'utf8')).toBeFalsy();
    }
    expect((await cli(['append', path, '--together'], good)).code).toBe(0);
    expect(await chronicle.readChronicle(path)).toHaveLength(3000);
  });

  it('ends at a bad line though its producer continues', async () => {
    const child = startCli('append', scratch.path('log.sage'));
    child.send('no json');
    expect(await child.ended).toEqual({ code: 1, signal: null });
  });

  it('takes a last line without a newline, and lines of white space for nothing', async () => {
    const path = scratch.path('log.sage');
    const input = `\n \t\r\n${JSON.stringify(note('a'))}\r\n\n${JSON.stringify(note('b'))}`;
    expect((await cli(['append', path], input)).code).toBe(0);
    expect(marksOf(readFileSync(path, 'utf8'))).toEqual(['a', 'b']);
    expect((await cli(['append', path], '')).code).toBe(0);
  });

  it('refuses a line longer than an event may be', async () => {
    const path = scratch.path('log.sage');
    const { code, stderr } = await cli(['append', path], Buffer.alloc(65 * 1024 * 1024, 0x20));
    expect(code).toBe(1);
    expect(stderr).toContain('line 1 is longer than 64 MiB');
  });

  it('hands its options over', async () => {
    const path = scratch.path('log.txt');
    const one = (mark: string, ...options: string[]) =>
      cli(['append', path, JSON.stringify(note(mark)), '--any-extension', '--json', ...options]);
    const receipts = [
      await one('a', '--no-id'),
      await one('b', '--key', 'k', '--durability', 'os', '--timeout', '5000'),
      await one('c', '--key', 'k'),
      await one('d', '--chain'),
    ].map(({ stdout }) => JSON.parse(stdout));
    expect(receipts[0]).not.toHaveProperty('eventId');
    expect(receipts).toMatchObject([
      { seq: 1, durable: true },
      { seq: 2, durable: false },
      { seq: 2, duplicate: true, identical: false },
      { seq: 3 },
    ]);
    const [, second, third] = await chronicle.readChronicle<any>(path, { anyExtension: true });
    expect(third.prevEventId).toBe(second.eventId);

    expect((await one('e', '--expected-tail', 'none')).code).toBe(1);
    expect((await one('e', '--expected-tail', third.eventId)).code).toBe(0);
    const reused = JSON.stringify(note('other', { eventId: third.eventId }));
    const reject = await cli([
      'append',
      path,
      reused,
      '--any-extension',
      '--on-id-reuse',
      'reject',
    ]);
    expect(reject.code).toBe(1);
    expect(reject.stderr).toMatch(/^chronicle: ECONFLICT /);
    const accept = await cli(['append', path, reused, '--any-extension']);
    expect(accept.code).toBe(0);
    expect(accept.stderr).toMatch(/^chronicle: warning: /);
  });

  it('continues when the output of receipts is closed', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(scratch.path('input'), ndjson(notes(20_000)));
    const line = '(chronicle append "$1" --json < "$2"; echo $? >&2) | head -n 1';
    const { stdout, stderr } = await shell(line, path, scratch.path('input'));
    expect(JSON.parse(stdout)).toMatchObject({ seq: 1 });
    expect(stderr).toBe('0\n');
    expect(await chronicle.readChronicle(path)).toHaveLength(20_000);
  });

  it('ends with 3 when the lock is not free in time, and prints the holder', async () => {
    const path = await logOf([note('a')]);
    const holder = startCli('lock', path, '--', 'sh', '-c', 'echo held; read line');
    await holder.line((line) => line === 'held');
    const event = JSON.stringify(note('b'));
    const plain = await cli(['append', path, event, '--timeout', '0']);
    expect(plain.code).toBe(3);
    expect(plain.stderr).toMatch(/^chronicle: ELOCK_TIMEOUT /);
    const { code, stderr } = await cli(['append', path, event, '--timeout', '50', '--json']);
    expect(code).toBe(3);
    expect(JSON.parse(stderr).error).toMatchObject({ code: 'ELOCK_TIMEOUT', path, written: 'no' });
    expect(await chronicle.readChronicle(path)).toHaveLength(1);
    holder.send('');
    expect(await holder.ended).toEqual({ code: 0, signal: null });
  });
});

describe('chronicle read, query, tail and count', () => {
  it('print events as NDJSON where the output is no terminal', async () => {
    const path = await logOf(notes(30));
    const lines = readFileSync(path, 'utf8');
    expect(await cli(['read', path])).toEqual({ code: 0, stdout: lines, stderr: '' });
    expect((await cli(['query', path])).stdout).toBe(lines);
    expect(marksOf((await cli(['tail', path])).stdout)).toEqual(marksOf(lines).slice(-10));
    expect(marksOf((await cli(['tail', '-n', '3', path])).stdout)).toEqual(
      marksOf(lines).slice(-3),
    );
    expect((await cli(['tail', '-n0', path])).stdout).toBe('');
    expect((await cli(['count', path])).stdout).toBe('30\n');
    expect((await cli(['count', path, '--json'])).stdout).toBe('{"count":30}\n');
  });

  it('read a range, backwards, and with positions', async () => {
    const path = await logOf(notes(30, (n) => ({ timestamp: `2026-01-02T00:00:${10 + n}Z` })));
    const all = await chronicle.readChronicle<any>(path, { positions: true });
    const at = (n: number) => all[n] as (typeof all)[number];
    const read = async (...args: string[]) => marksOf((await cli(['read', path, ...args])).stdout);
    const marks = (from: number, to: number) => all.slice(from, to).map(({ event }) => event.mark);
    expect(await read('--from', 'seq:5', '--to', 'seq:8')).toEqual(marks(4, 7));
    expect(await read('--from', `offset:${at(27).offset}`)).toEqual(marks(27, 30));
    expect(await read('--from', `id:${at(28).event.eventId}`)).toEqual(marks(28, 30));
    expect(await read('--to', 'time:2026-01-02T00:00:12Z')).toEqual(marks(0, 2));
    expect(await read('--from', 'end')).toEqual([]);
    expect(await read('--from', 'start', '--limit', '2')).toEqual(marks(0, 2));
    expect(await read('--reverse', '--limit', '2')).toEqual(marks(28, 30).reverse());
    const positioned = parsedLines((await cli(['read', path, '--positions'])).stdout);
    expect(positioned).toEqual(all);
    const last = parsedLines((await cli(['tail', path, '-n', '2', '--positions'])).stdout);
    expect(last).toEqual(all.slice(-2));
  });

  it('find what matches every condition', async () => {
    const path = await logOf([
      note('x:1', {
        type: 'BUILD',
        tags: ['a', 'b'],
        planHash: 'p',
        timestamp: '2026-01-01T00:00:00Z',
      }),
      note('y:2', {
        type: 'BUILD',
        tags: ['a'],
        graphCommit: 'g',
        timestamp: '2026-01-02T00:00:00Z',
      }),
      note('y:3', {
        type: 'DEPLOY',
        prevEventId: 'q',
        eventId: 'r',
        timestamp: '2026-01-03T00:00:00Z',
      }),
      note('z:4', { actor: { agent: 'other', id: 'z' }, timestamp: '2026-01-04T00:00:00Z' }),
    ]);
    const found: [string[], string[]][] = [
      [
        ['--type', 'BUILD'],
        ['x:1', 'y:2'],
      ],
      [
        ['--type', 'BUILD', '--type', 'DEPLOY'],
        ['x:1', 'y:2', 'y:3'],
      ],
      [['--agent', 'other'], ['z:4']],
      [
        ['--actor-id', 'y'],
        ['y:2', 'y:3'],
      ],
      [['--agent', 'test', '--actor-id', 'x'], ['x:1']],
      [
        ['--tag', 'a'],
        ['x:1', 'y:2'],
      ],
      [['--tag', 'a', '--tag', 'b'], ['x:1']],
      [['--plan-hash', 'p'], ['x:1']],
      [['--graph-commit', 'g'], ['y:2']],
      [['--event-id', 'r'], ['y:3']],
      [['--prev-event-id', 'q'], ['y:3']],
      [
        ['--since', '2026-01-02T00:00:00Z', '--until', '2026-01-03T00:00:00Z'],
        ['y:2', 'y:3'],
      ],
      [['--since', String(Date.parse('2026-01-04T00:00:00Z'))], ['z:4']],
      [['--type', 'BUILD', '--actor-id', 'z'], []],
    ];
    for (const [args, marks] of found) {
      expect(marksOf((await cli(['query', path, ...args])).stdout), args.join(' ')).toEqual(marks);
      expect((await cli(['count', path, ...args])).stdout).toBe(`${marks.length}\n`);
      expect(marksOf((await cli(['tail', path, ...args])).stdout)).toEqual(marks);
    }
    const query = async (...args: string[]) =>
      marksOf((await cli(['query', path, ...args])).stdout);
    expect(await query('--type', 'BUILD', '--reverse', '--limit', '1')).toEqual(['y:2']);
    expect(await query('--skip', '1', '--limit', '2')).toEqual(['y:2', 'y:3']);
    expect(marksOf((await cli(['tail', '-n', '1', path, '--type', 'BUILD'])).stdout)).toEqual([
      'y:2',
    ]);
  });

  it('take a file of any name, and a missing one for empty', async () => {
    const path = scratch.path('events.log');
    writeFileSync(path, ndjson(notes(2)));
    const around = `${scratch.folder()}/x/../events.log`;
    await chronicle.append(scratch.path('x/log.sage'), note('a'));
    for (const name of [path, around]) {
      expect(marksOf((await cli(['read', name])).stdout)).toEqual(['m:0', 'm:1']);
    }
    const missing = await cli(['read', scratch.path('nowhere.sage')]);
    expect(missing).toMatchObject({ code: 0, stdout: '' });
    expect(missing.stderr).toMatch(/^chronicle: warning: .*nowhere\.sage does not exist/);
    expect(existsSync(scratch.path('nowhere.sage'))).toBe(false);
    const folder = await cli(['read', scratch.folder()]);
    expect(folder.code).toBe(1);
    expect(folder.stderr).toMatch(/^chronicle: EVALIDATION /);
  });

  it('skip bad lines with a warning, or fail at the first', async () => {
    const path = await logOf(notes(2));
    appendFileSync(path, 'damage\n');
    const skipped = await cli(['read', path, '--json']);
    expect(skipped.code).toBe(0);
    expect(marksOf(skipped.stdout)).toEqual(['m:0', 'm:1']);
    expect(JSON.parse(skipped.stderr).warning).toMatchObject({ code: 'CHRONICLE_BAD_LINES' });
    const failed = await cli(['read', path, '--json', '--on-bad-line', 'throw']);
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stderr).error).toMatchObject({ code: 'ECORRUPT', line: 3 });
  });

  it('go on where a cursor file says', async () => {
    const path = await logOf(notes(2));
    const cursor = scratch.path('cursor');
    const read = async () =>
      marksOf((await cli(['read', path, '--cursor-file', cursor, '--limit', '3'])).stdout);
    expect(await read()).toEqual(['m:0', 'm:1']);
    expect(await read()).toEqual([]);
    await chronicle.appendEvents(path, notes(6));
    expect(await read()).toEqual(['m:2', 'm:3', 'm:4']);
    expect(await read()).toEqual(['m:5']);
    expect(await read()).toEqual([]);
    expect(readdirSync(scratch.folder()).sort()).toEqual(['cursor', 'log.sage']);
  });
});

describe('chronicle tail --follow', () => {
  it('prints the last events, then each that another appends, until it is interrupted', async () => {
    const path = await logOf(notes(20));
    const follower = startCli('tail', '-f', '-n', '5', path);
    await follower.until(() => follower.lines.length === 5);
    for (let n = 20; n < 40; n += 1) {
      await cli(['append', path, JSON.stringify(note(`m:${n}`))]);
      await follower.until(() => follower.lines.length === n - 14);
    }
    follower.kill('SIGINT');
    expect(await follower.ended).toEqual({ code: 0, signal: null });
    expect(marksOf(follower.lines.join('\n'))).toEqual(
      Array.from({ length: 25 }, (_, n) => `m:${n + 15}`),
    );
    expect(follower.stderr).toBe('');
  });

  it('begins with what comes for -n 0, and with the last that match for a condition', async () => {
    const path = await logOf([note('x:1'), note('y:1'), note('x:2'), note('y:2')]);
    const fresh = startCli('tail', '-f', '-n', '0', path, '--positions');
    const some = startCli('tail', '-f', '-n', '1', path, '--actor-id', 'x');
    await some.until(() => some.lines.length === 1);
    for (let n = 3; fresh.lines.length === 0; n += 1) {
      await chronicle.appendEvents(path, [note(`y:${n}`), note(`x:${n}`)]);
    }
    expect(JSON.parse(fresh.lines[0] ?? '').seq).toBeGreaterThan(4);
    await some.until(() => some.lines.length >= 2);
    expect(marksOf(some.lines.slice(0, 2).join('\n'))).toEqual(['x:2', 'x:3']);
    for (const child of [fresh, some]) child.kill('SIGTERM');
    expect(await Promise.all([fresh.ended, some.ended])).toEqual([
      { code: 0, signal: null },
      { code: 0, signal: null },
    ]);
  });

  it('waits for a file that is missing, and keeps a cursor', async () => {
    const path = scratch.path('log.sage');
    const args = ['tail', '-f', path, '--cursor-file', scratch.path('cursor')];
    const first = startCli(...args);
    await first.until(() => first.stderr.includes('does not exist'));
    // No more than the last ten: on a slow machine the file is there before it is looked at first.
    await chronicle.appendEvents(path, notes(10));
    await first.until(() => first.lines.length === 10);
    first.kill('SIGINT');
    await first.ended;
    await chronicle.append(path, note('new'));
    const second = startCli(...args);
    await second.until(() => second.lines.length === 1);
    second.kill('SIGINT');
    await second.ended;
    expect(marksOf(second.lines.join('\n'))).toEqual(['new']);
  });
});

describe('a broken pipe', () => {
  it.each([
    ['read', ''],
    ['query', ''],
    ['tail', '-n 50000'],
    ['export', '--format csv'],
  ])('ends %s with success', async (command, options) => {
    const path = await logOf(notes(50_000));
    const line = `(chronicle ${command} "$1" ${options}; echo $? >&2) | head -n 1`;
    const { stdout, stderr } = await shell(line, path);
    expect(stdout.split('\n')).toHaveLength(2);
    expect(stderr).toBe('0\n');
  });

  it('ends a follower with success at the next event', async () => {
    const path = await logOf(notes(1));
    const follower = shell('(chronicle tail -f "$1"; echo $? >&2) | head -n 1', path);
    let over = false;
    void follower.then(() => (over = true));
    for (let n = 1; !over; n += 1) {
      await chronicle.append(path, note(`m:${n}`));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const { stdout, stderr } = await follower;
    expect(marksOf(stdout)).toHaveLength(1);
    expect(stderr).toBe('0\n');
  });

  it('does not cut what a slow reader takes', async () => {
    const path = await logOf(notes(20_000));
    const { stdout } = await shell('chronicle read "$1" | (sleep 1; cat) | wc -l', path);
    expect(Number(stdout)).toBe(20_000);
  });

  it.runIf(process.platform === 'linux')('is not a full disk, which is a failure', async () => {
    const path = await logOf(notes(10));
    for (const command of ['read', 'stats', 'count', 'verify']) {
      const { stderr } = await shell(`chronicle ${command} "$1" > /dev/full; echo $? >&2`, path);
      expect(stderr).toMatch(/^chronicle: EIO cannot write the output: ENOSPC.*\n1\n$/);
    }
  });
});

describe('chronicle export', () => {
  it('writes NDJSON, an array, and CSV', async () => {
    const path = await logOf([
      note('x:1', { text: 'a "quoted", text\nin two lines', n: 1 }),
      note('x:2', { actor: { agent: 'b', id: 'c' }, list: [1, { a: 2 }] }),
    ]);
    const events = await chronicle.readChronicle<any>(path);
    expect((await cli(['export', path])).stdout).toBe(readFileSync(path, 'utf8'));
    const array = (await cli(['export', path, '--format', 'json'])).stdout;
    expect(JSON.parse(array)).toEqual(events);
    const none = await cli(['export', path, '--format', 'json', '--type', 'NONE']);
    expect(JSON.parse(none.stdout)).toEqual([]);

    const { stdout } = await cli(['export', path, '--format', 'csv']);
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const payload = ({ mark, text, n, list }: any) =>
      quoted(JSON.stringify({ mark, text, n, list }));
    expect(stdout.split('\r\n')).toEqual([
      'seq,timestamp,type,actor.agent,actor.id,eventId,payload',
      `1,${events[0].timestamp},NOTE_TAKEN,test,x,${events[0].eventId},${payload(events[0])}`,
      `2,${events[1].timestamp},NOTE_TAKEN,b,c,${events[1].eventId},${payload(events[1])}`,
      '',
    ]);
    const columns = ['--format', 'csv', '--columns', 'mark,text,list,nothing,offset'];
    const chosen = await cli(['export', path, ...columns]);
    expect(chosen.stdout).toBe(
      'mark,text,list,nothing,offset\r\n' +
        `x:1,${quoted('a "quoted", text\nin two lines')},,,0\r\n` +
        `x:2,,${quoted('[1,{"a":2}]')},,${readFileSync(path).indexOf('\n') + 1}\r\n`,
    );
  });

  it('writes a file that appears when it is whole, and never over the log', async () => {
    const path = await logOf(notes(1000));
    const target = scratch.path('out.json');
    writeFileSync(target, 'old');
    const args = ['export', path, '--format', 'json', '--from', 'seq:11', '-o'];
    expect(await cli([...args, target])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(JSON.parse(readFileSync(target, 'utf8'))).toHaveLength(990);
    const nowhere = await cli([...args, scratch.path('no/where')]);
    expect(nowhere.code).toBe(1);
    const before = readFileSync(path);
    const own = await cli(['export', path, '-o', path]);
    expect(own.code).toBe(2);
    expect(readFileSync(path)).toEqual(before);
    appendFileSync(path, 'damage\n');
    const failed = await cli([...args, target, '--on-bad-line', 'throw']);
    expect(failed.code).toBe(1);
    expect(JSON.parse(readFileSync(target, 'utf8'))).toHaveLength(990);
    expect(readdirSync(scratch.folder()).sort()).toEqual(['log.sage', 'out.json']);
  });
});

describe('chronicle verify, analyze, repair and stats', () => {
  it('verify prints findings and ends with 1 where the log is not good', async () => {
    const path = await logOf(notes(3));
    const good = await cli(['verify', path]);
    expect(good).toMatchObject({ code: 0, stderr: '' });
    expect(good.stdout).toMatch(/^ok: 3 records in 3 lines, .*, 0 findings\n$/);
    appendFileSync(path, 'damage\n{"torn');
    const bad = await cli(['verify', path]);
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/^line 4, byte \d+: malformed: /);
    expect(bad.stdout).toMatch(/\nnot ok: 3 records in 5 lines, .*, 2 findings\n$/);
    const { code, stdout } = await cli(['verify', path, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual(
      JSON.parse(JSON.stringify(await chronicle.verifyChronicle(path))),
    );
  });

  it('analyze prints the report, or the analysis as JSON', async () => {
    const path = await logOf(notes(3));
    const analysis = await chronicle.analyzeChronicle(path);
    const report = await cli(['analyze', path]);
    expect(report).toMatchObject({ code: 0, stderr: '' });
    expect(report.stdout.trim()).toBe(chronicle.formatAnalysisReport(analysis).trim());
    expect(JSON.parse((await cli(['analyze', path, '--json'])).stdout)).toEqual(
      JSON.parse(JSON.stringify(analysis)),
    );
  });

  it('repair prints its plan, then repairs once', async () => {
    const path = await logOf(notes(3));
    const good = readFileSync(path, 'utf8');
    appendFileSync(path, 'damage\n');
    const damaged = readFileSync(path, 'utf8');
    const plan = await cli(['repair', path, '--dry-run']);
    expect(plan).toMatchObject({ code: 0, stderr: '' });
    expect(plan.stdout).toMatch(/line 4, byte \d+: malformed/);
    expect(plan.stdout).toMatch(/nothing was changed: this was a dry run\n$/);
    expect(readFileSync(path, 'utf8')).toBe(damaged);

    const repaired = await cli(['repair', path, '--json', '--timeout', '5000']);
    expect(repaired.code).toBe(0);
    const result = JSON.parse(repaired.stdout);
    expect(result.repaired).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe(good);
    expect(readFileSync(result.backupPath, 'utf8')).toBe(damaged);
    expect(readFileSync(result.removedPath, 'utf8')).toBe('damage\n');
    expect((await cli(['repair', path])).stdout).toMatch(/nothing to repair\n$/);
  });

  it('repair hands its options over', async () => {
    const path = scratch.path('log.txt');
    const late = { ...note('late'), timestamp: '2026-01-03T00:00:00Z' };
    writeFileSync(
      path,
      ndjson([
        { ...late, eventId: 'a' },
        { ...note('early'), eventId: 'b' },
        { ...note('again'), eventId: 'a' },
      ]),
    );
    const options = [
      '--remove-duplicates',
      '--fix-timestamp-order',
      '--no-backup',
      '--any-extension',
    ];
    const { code, stdout } = await cli(['repair', path, '--json', ...options]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).not.toHaveProperty('backupPath');
    expect(marksOf(readFileSync(path, 'utf8'))).toEqual(['early', 'late']);
  });

  it('stats prints size, records, times and types', async () => {
    const path = await logOf([
      note('a', { type: 'BUILD' }),
      note('b'),
      note('c', { timestamp: '2026-02-02T00:00:00Z' }),
    ]);
    appendFileSync(path, 'damage\n');
    const { code, stdout, stderr } = await cli(['stats', path, '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      bytes: readFileSync(path).length,
      records: 3,
      badLines: 1,
      first: { timestamp: note('a').timestamp, type: 'BUILD', eventId: expect.any(String) },
      last: { timestamp: '2026-02-02T00:00:00Z', type: 'NOTE_TAKEN', eventId: expect.any(String) },
      types: { NOTE_TAKEN: 2, BUILD: 1 },
    });
    const shown = (await cli(['stats', path])).stdout;
    expect(shown).toMatch(/^records +3$/m);
    expect(shown).toMatch(/^types +2 {2}NOTE_TAKEN\n +1 {2}BUILD$/m);
  });
});
