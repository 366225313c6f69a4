// What the addon hands over to JavaScript settles, whatever fails on the way.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  analyzeChronicle,
  append,
  readChronicle,
  repairChronicle,
  verifyChronicle,
} from '../index.mjs';
import { channel } from 'node:diagnostics_channel';
import { cli, run } from './cli';
import { isLong } from './scratch';
import { binding, event, freshPath, linesOf } from './support';

const require = createRequire(import.meta.url);

/** The port of the modules that a test has imported. */
const { openPort } = require('../lib/binding/port.js');

afterEach(() => vi.restoreAllMocks());

function bad(count: number): string {
  const path = freshPath();
  writeFileSync(path, 'x\n'.repeat(count));
  return path;
}

describe('a value that cannot be made', () => {
  test('takes no other settlement with it, whichever of a hand-over it is', async () => {
    const { appendEvents, append, readChronicle, verifyChronicle } = require('../index.js');
    const publish = () => {};
    channel('sage:chronicle:batch').subscribe(publish);
    try {
      let failures = 0;
      for (let made = 0; made < 14; made += 1) {
        const paths = [freshPath(), freshPath(), freshPath()];
        openPort().failAfter(made);
        const work = paths.flatMap((path) => [
          append(path, event({ made })),
          appendEvents(path, [event({ made, n: 1 }), event({ made, n: 2 })]),
          readChronicle(path),
          verifyChronicle(path),
        ]);
        for (const { status, reason } of (await Promise.allSettled(work)) as any[]) {
          if (status === 'fulfilled') continue;
          failures += 1;
          expect(reason).toMatchObject({ name: 'ChronicleError', code: 'EIO' });
          expect(reason.message).toMatch('cannot be handed over');
        }
        for (const path of paths) expect(linesOf(path)).toHaveLength(3);
      }
      expect(failures).toBeGreaterThan(3);
    } finally {
      channel('sage:chronicle:batch').unsubscribe(publish);
    }
  });
});

describe('what throws behind a hand-over', () => {
  test('a text that cannot be parsed rejects its appends, and the next ones settle', async () => {
    const chronicle = require('../index.js');
    const path = freshPath();
    const parse = JSON.parse;
    const work = [0, 1, 2].map((n) => chronicle.append(path, event({ n })));
    const spy = vi.spyOn(JSON, 'parse').mockImplementationOnce(() => {
      throw new RangeError('on purpose');
    });
    const ended = (await Promise.allSettled(work)) as any[];
    expect(spy).toHaveBeenCalled();
    spy.mockImplementation(parse);
    const failed = ended.filter(({ status }) => status === 'rejected');
    expect(failed.length).toBeGreaterThan(0);
    for (const { reason } of failed) {
      expect(reason).toMatchObject({ name: 'ChronicleError', code: 'EIO', written: 'unknown' });
    }
    expect(await chronicle.append(path, event({ n: 3 }))).toMatchObject({ durable: true });
  });

  test('a listener that cannot be taken off is a warning, and all settle', async () => {
    const warned: any[] = [];
    const warn = (warning: Error) => warned.push(warning);
    process.on('warning', warn);
    try {
      const hostile = () => ({
        aborted: false,
        reason: undefined,
        addEventListener() {},
        removeEventListener() {
          throw new Error('not taken off');
        },
      });
      const path = freshPath();
      const appends = [0, 1, 2, 3].map((n) =>
        append(path, event({ n }), n % 2 === 0 ? { signal: hostile() as any } : {}),
      );
      const receipts = await Promise.all(appends);
      expect(receipts.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
      await readChronicle(path, { signal: hostile() as any });
      await vi.waitFor(() => expect(warned.length).toBeGreaterThanOrEqual(3));
      expect(warned[0]).toMatchObject({ code: 'CHRONICLE_CALLBACK_FAILED' });
      expect(warned[0].message).toMatch('not taken off');
    } finally {
      process.off('warning', warn);
    }
  });
});

describe('thousands of requests given up at once', () => {
  test('end with the reason of the signal, and the process continues', async () => {
    const script = `
      const { analyzeChronicle, repairChronicle, append } = require('./index.js');
      const path = process.argv[1];
      (async () => {
        // Long enough that most requests wait for their turn.
        require('node:fs').writeFileSync(path, '{"type":"T"}\\n'.repeat(300_000));
        for (const work of [analyzeChronicle, repairChronicle]) {
          const controller = new AbortController();
          const all = Array.from({ length: 4000 }, () => work(path, { signal: controller.signal }));
          controller.abort('enough');
          const ended = await Promise.allSettled(all);
          const aborted = ended.filter(({ reason }) => reason === 'enough').length;
          const done = ended.filter(({ status }) => status === 'fulfilled').length;
          console.log(aborted > 3000, aborted + done);
        }
        console.log((await append(path, { type: 'U', timestamp: 't', actor: { agent: 'a', id: 'b' } })).seq);
      })();
    `;
    const path = freshPath();
    const outcome = await run(process.execPath, ['-e', script, path], null);
    expect(outcome).toEqual({ code: 0, stdout: 'true 4000\ntrue 4000\n300001\n', stderr: '' });
  });
});

describe('a result without a bound', () => {
  test('repair and verify list the first 10,000 lines and count the others', async () => {
    const path = bad(12_345);
    const verdict = await verifyChronicle(path);
    expect(verdict.findings).toHaveLength(10_000);
    expect(verdict.findingsOmitted).toBe(2345);
    const { plan } = await repairChronicle(path, { dryRun: true });
    expect(plan.removed).toHaveLength(10_000);
    expect(plan.removed.at(-1)).toMatchObject({ line: 10_000, kind: 'malformed' });
    expect(plan.removedOmitted).toBe(2345);
    const whole = await repairChronicle(bad(10_000), { dryRun: true });
    expect(whole.plan).not.toHaveProperty('removedOmitted');
  });

  test('an analysis lists the first 10,000 broken links and counts the others', async () => {
    const path = freshPath();
    const line = (n: number) =>
      JSON.stringify({ ...event(), eventId: `e${n}`, prevEventId: 'none' });
    writeFileSync(path, Array.from({ length: 10_002 }, (_, n) => `${line(n)}\n`).join(''));
    const { causalChainIntegrity: chain } = await analyzeChronicle(path);
    expect(chain).toMatchObject({ isValid: false, brokenLinksOmitted: 2 });
    expect(chain.brokenLinks).toHaveLength(10_000);
    const { stdout } = await cli(['analyze', path, '--json']);
    const printed = JSON.parse(stdout).causalChainIntegrity;
    expect(printed.brokenLinks).toHaveLength(10_002);
    expect(printed).not.toHaveProperty('brokenLinksOmitted');
  });

  test('the command prints all of it', async () => {
    const path = bad(12_345);
    const verified = await cli(['verify', path]);
    expect(verified.code).toBe(1);
    expect(verified.stdout.split('\n')).toHaveLength(12_345 + 2);
    const found = JSON.parse((await cli(['verify', path, '--json'])).stdout);
    expect(found.findings).toHaveLength(12_345);
    expect(found).toMatchObject({ ok: false, lines: 12_345 });
    const planned = JSON.parse((await cli(['repair', path, '--dry-run', '--json'])).stdout);
    expect(planned.plan.removed).toHaveLength(12_345);
    const repaired = await cli(['repair', path]);
    expect(repaired.stdout.match(/^line \d+/gm)).toHaveLength(12_345);
    expect(repaired.stdout).toMatch('repaired');
  });

  if (isLong)
    test('nine million bad lines are repaired, and the command says so', async () => {
      const path = bad(9_000_000);
      const { plan } = await repairChronicle(path, { dryRun: true });
      expect(plan.removed.length + (plan.removedOmitted ?? 0)).toBe(9_000_000);
      const { code, stdout } = await run(
        'sh',
        ['-c', '"$0" bin/chronicle.js repair "$1" | tail -n 3', process.execPath, path],
        null,
      );
      expect(code).toBe(0);
      expect(stdout).toMatch('repaired');
    });

  if (isLong)
    test('receipts that are longer together than any string settle', async () => {
      const path = freshPath();
      const id = 'i'.repeat(40_000_000);
      writeFileSync(path, `{"type":"T","eventId":"${id}","idempotencyKey":"k"}\n`);
      const appends = Array.from({ length: 16 }, () =>
        append(path, event(), { idempotencyKey: 'k' }),
      );
      // All of them settle while the event loop does something else.
      binding.flushSync(60_000);
      for (const receipt of await Promise.all(appends)) {
        expect(receipt).toMatchObject({ duplicate: true, identical: false });
        expect(receipt.eventId).toHaveLength(id.length);
      }
    });
});
