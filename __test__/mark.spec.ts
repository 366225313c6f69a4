// A log that begins with a byte order mark, as some editors and shells write it.
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { chronicle, failure, note, scratchFolder } from './scratch';

const scratch = scratchFolder();

const first = { eventId: 'first', ...note('one') };
const second = { eventId: 'second', ...note('two') };

function markedLog(): string {
  const path = scratch.path('log.sage');
  writeFileSync(path, `\ufeff${JSON.stringify(first)}\r\n${JSON.stringify(second)}\n`);
  return path;
}

describe('a log that begins with a byte order mark', () => {
  it('keeps its first event from being appended once more', async () => {
    const path = markedLog();
    const before = readFileSync(path);
    const receipt = await chronicle.append(path, first);
    expect(receipt).toMatchObject({ eventId: 'first', offset: 3, duplicate: true });
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(await chronicle.append(path, note('three'))).toMatchObject({ duplicate: false });
  });

  it('is named by readers, in warnings, errors and bad lines', async () => {
    const path = markedLog();
    const bad: { kind: string }[] = [];
    const events = await chronicle.readChronicle(path, { onBadLine: (line) => bad.push(line) });
    expect(events.map(({ eventId }) => eventId)).toEqual(['second']);
    const length = JSON.stringify(first).length + 4;
    expect(bad).toEqual([{ kind: 'bom', line: 1, offset: 0, length }]);
    const error = await failure(chronicle.readChronicle(path, { onBadLine: 'throw' }));
    expect(error.code).toBe('ECORRUPT');
    expect(error.message).toContain('byte order mark');
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    await chronicle.readChronicle(path);
    expect((await warned).message).toContain('1 with a byte order mark, which a repair removes');
  });

  it('is found by a check, to which its event is known all the same', async () => {
    const path = markedLog();
    writeFileSync(path, `${JSON.stringify(first)}\n`, { flag: 'a' });
    const { ok, records, findings } = await chronicle.verifyChronicle(path);
    expect([ok, records]).toEqual([false, 2]);
    expect(findings.map(({ kind, line }) => [kind, line])).toEqual([
      ['bom', 1],
      ['duplicate', 3],
    ]);
  });

  it.each([false, true])(
    'loses only the mark when it is repaired (by time: %s)',
    async (fixTimestampOrder) => {
      const path = markedLog();
      const text = readFileSync(path, 'utf8');
      const planned = await chronicle.repairChronicle(path, { dryRun: true });
      expect(planned.plan.removed).toEqual([{ kind: 'bom', line: 1, offset: 0, length: 3 }]);
      const report = await chronicle.repairChronicle(path, { fixTimestampOrder });
      expect(report).toMatchObject({ repaired: true, plan: { kept: 2 } });
      expect(report.changesApplied).toEqual(['removed 1 byte order mark']);
      expect(report.removedPath).toBeUndefined();
      expect(readFileSync(path, 'utf8')).toBe(text.slice(1));
      expect(await chronicle.verifyChronicle(path)).toMatchObject({ ok: true, findings: [] });
    },
  );
});
