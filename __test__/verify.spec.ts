// Checking a chronicle from JavaScript. What counts as which finding is shown in tests/verify.rs.
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { append, appendEvents, verifyChronicle } from '../index.mjs';
import { event, expectCode, folder, freshPath, rejection } from './support.js';

function fileOf(content: string | Buffer): string {
  const path = freshPath();
  writeFileSync(path, content);
  return path;
}

describe('verifyChronicle', () => {
  it('finds nothing in appended records while other writers append', async () => {
    const path = freshPath();
    const appends = Array.from({ length: 200 }, (_, n) =>
      append(path, event({ n }), { chain: true }),
    );
    await appends[0];
    const during = await verifyChronicle(path);
    expect(during.findings).toEqual([]);
    await Promise.all(appends);
    const bytes = readFileSync(path).length;
    const whole = { ok: true, bytes, lines: 200, records: 200, findings: [] };
    expect(await verifyChronicle(path)).toEqual(whole);
  });

  it('reports each finding with its position', async () => {
    const good = JSON.stringify(event({ eventId: 'one' }));
    const damaged = JSON.stringify(event({ eventId: 'f'.repeat(64) }));
    const again = JSON.stringify(event({ eventId: 'one', timestamp: '2020-01-01' }));
    const alone = JSON.stringify(event({ eventId: '\ud800', prevEventId: 'gone' }));
    const lines = [good, '', 'no object', '\0\0', damaged, again, alone, '{"torn'];
    const path = fileOf(lines.join('\n'));
    const before = readFileSync(path);
    const { findings, ...rest } = await verifyChronicle(path);
    expect(rest).toEqual({ ok: false, bytes: before.length, lines: 8, records: 4 });
    const offset = (line: number) => Buffer.byteLength(lines.slice(0, line - 1).join('\n')) + 1;
    const expected = [
      ['malformed', 3],
      ['nul', 4],
      ['id-mismatch', 5, 'f'.repeat(64)],
      ['duplicate', 6, 'one'],
      ['out-of-order', 6, 'one'],
      ['broken-chain', 7, '\ud800'],
      ['torn', 8],
    ] as const;
    expect(findings).toEqual(
      expected.map(([kind, line, eventId]) => ({
        kind,
        line,
        offset: offset(line),
        length: lines[line - 1]!.length,
        ...(eventId === undefined ? {} : { eventId }),
        details: expect.stringMatching(/\w/),
      })),
    );
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('accepts a torn tail and time that runs backwards, and reports both', async () => {
    const path = freshPath();
    const times = ['2026-02-01T00:00:00Z', '2026-01-01T00:00:00Z'];
    await appendEvents(
      path,
      times.map((timestamp) => event({ timestamp })),
    );
    appendFileSync(path, '{"half":');
    const { ok, findings } = await verifyChronicle(path);
    expect(ok).toBe(true);
    expect(findings.map(({ kind }) => kind)).toEqual(['out-of-order', 'torn']);
  });

  it('does not report a torn tail while another process holds the lock', async () => {
    const path = fileOf('{"a":1}\n{"half":');
    const holder = spawn('flock', [path, 'sh', '-c', 'echo locked; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      await once(holder.stdout, 'data');
      expect(await verifyChronicle(path)).toMatchObject({ ok: true, findings: [] });
    } finally {
      holder.stdin.end();
      await once(holder, 'close');
    }
    expect((await verifyChronicle(path)).findings).toHaveLength(1);
  });

  it('finds nothing in a missing file and makes none', async () => {
    const path = join(folder(), 'deep', 'log.sage');
    const nothing = { ok: true, bytes: 0, lines: 0, records: 0, findings: [] };
    expect(await verifyChronicle(path)).toEqual(nothing);
    expect(existsSync(join(path, '..'))).toBe(false);
  });

  it('reports its progress between pages, while the event loop turns', async () => {
    const line = `${JSON.stringify(event({ pad: 'x'.repeat(1000) }))}\n`;
    const path = fileOf(line.repeat(6000));
    const total = line.length * 6000;
    const seen: number[] = [];
    let turns = 0;
    const clock = setInterval(() => (turns += 1), 1);
    const { bytes, records } = await verifyChronicle(path, {
      onProgress: (progress) => {
        expect(progress.total).toBe(total);
        seen.push(progress.bytes);
      },
    });
    clearInterval(clock);
    expect({ bytes, records }).toEqual({ bytes: total, records: 6000 });
    expect(seen.length).toBeGreaterThan(4);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
    expect(turns).toBeGreaterThan(0);
  });

  it('rejects with what onProgress throws, and with the reason of its signal', async () => {
    const path = fileOf('{}\n'.repeat(1_000_000));
    const onProgress = () => {
      throw new RangeError('enough');
    };
    expect(await rejection(verifyChronicle(path, { onProgress }))).toBeInstanceOf(RangeError);
    const reason = { why: 'given up' };
    const aborted = AbortSignal.abort(reason);
    expect(await rejection(verifyChronicle(path, { signal: aborted }))).toBe(reason);
    const controller = new AbortController();
    let calls = 0;
    const late = verifyChronicle(path, {
      signal: controller.signal,
      onProgress: () => {
        calls += 1;
        controller.abort(reason);
      },
    });
    expect(await rejection(late)).toBe(reason);
    expect(calls).toBe(1);
  });

  it('rejects wrong paths and options', async () => {
    const path = fileOf('{}\n');
    const loose = verifyChronicle as (...given: unknown[]) => Promise<unknown>;
    for (const given of [
      [5],
      ['log.ndjson'],
      ['../log.sage'],
      [folder(), { anyExtension: true }],
      [path, null],
      [path, { onProgress: 5 }],
      [path, { signal: {} }],
      [path, { lockTimeoutMs: 1 }],
    ]) {
      expectCode(await rejection(loose(...given)), 'EVALIDATION');
    }
    const other = join(folder(), 'log.ndjson');
    writeFileSync(other, 'x\n');
    const { ok } = await verifyChronicle(other, { anyExtension: true });
    expect(ok).toBe(false);
  });
});
