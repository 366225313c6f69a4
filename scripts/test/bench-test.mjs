// The benchmark runs, its figures are complete, and it notices a contestant that does not write
// what it says. Never how fast.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tasks } from '../../bench/tasks/index.mjs';
import { workloads } from '../../bench/workloads/index.mjs';
import { finish, holds } from './report.mjs';
import { root } from './setup.mjs';

const folder = mkdtempSync(join(tmpdir(), 'chronicle-bench-test-'));
const out = join(folder, 'figures.json');
const c = process.platform === 'linux' ? (name) => [name] : () => [];

/** The contestants of each workload. */
const wanted = {
  sequential: ['ours', ...c('C append'), ...c('C handed')],
  'in-flight': ['ours'],
  batches: ['ours', ...c('C batch')],
  processes: ['ours', ...c('C crowd')],
  many: ['ours, 100 appends at a time', 'ours, all appends at once'],
  sizes: ['ours, 8,000', 'ours, empty'],
  cold: ['ours', 'ours, no side index', ...c('C newlines')],
  memory: ['ours', 'ours, no side index'],
  reading: [
    'JSON.parse of each line',
    'readChronicle',
    'queryChronicle, 1 % hits',
    'verifyChronicle',
    'tailChronicle of 50',
    'streamChronicle',
    'countEvents of all',
    'countEvents of a type',
    ...c('C newlines'),
  ],
};

/** A store that loses what `lost` names. */
function losing(lost) {
  return async () => {
    const keys = [];
    const add = (event) => void (lost(keys.length) ? keys.push('another') : keys.push(event.key));
    return {
      append: async (event) => add(event),
      appendMany: async (events) => events.forEach(add),
      read: async () => keys.slice(1),
      keys: () => keys,
      async close() {},
    };
  };
}

try {
  let report;
  await holds('the benchmark runs', () => {
    const args = [
      '--no-peers',
      '--rounds',
      '2',
      '--appends',
      '10',
      '--sizes',
      '8000',
      '--crowds',
      '2',
    ];
    const child = spawnSync(
      process.execPath,
      [join(root, 'bench/run.mjs'), ...args, '--folder', folder, '--out', out],
      { encoding: 'utf8', timeout: 120_000 },
    );
    assert.equal(child.status, 0, `${child.error ?? ''}${child.stdout}\n${child.stderr}`);
    report = JSON.parse(readFileSync(out, 'utf8'));
  });
  for (const [name, { needs }] of Object.entries(workloads)) {
    if (needs && !existsSync(needs)) continue;
    await holds(`its report has every figure of ${name}`, () => {
      const parts = report.parts.filter(({ workload }) => workload === name);
      assert.equal(parts.length, 1);
      const [{ rows, measures }] = parts;
      assert.deepEqual(Object.keys(rows).sort(), [...wanted[name]].sort());
      for (const row of [
        ...Object.values(rows).flatMap(Object.values),
        ...Object.values(measures),
      ]) {
        assert.ok(Number.isFinite(row.median ?? row), JSON.stringify(row));
      }
    });
  }
  await holds('another build takes part in turns', () => {
    const chosen = ['sequential', 'processes', 'sizes', 'reading'];
    const few = ['--rounds', '1', '--appends', '2', '--sizes', '100', '--crowds', '2'];
    const child = spawnSync(
      process.execPath,
      [
        join(root, 'bench/run.mjs'),
        ...chosen,
        ...few,
        ...['--against', root, '--folder', folder, '--out', out],
      ],
      { encoding: 'utf8', timeout: 60_000 },
    );
    assert.equal(child.status, 0, `${child.error ?? ''}${child.stdout}\n${child.stderr}`);
    const { parts } = JSON.parse(readFileSync(out, 'utf8'));
    assert.deepEqual([...new Set(parts.map(({ workload }) => workload))], chosen);
    for (const { rows, ratio } of parts) {
      assert.deepEqual(Object.keys(rows), ['ours', 'before']);
      assert.ok(ratio.least > 0 && Number.isFinite(ratio.most), JSON.stringify(ratio));
    }
  });
  await holds('it leaves nothing behind', () => {
    assert.deepEqual(readdirSync(folder), ['figures.json']);
  });
  const args = { path: 'x', warmUp: 1, count: 3, waves: 1, width: 3, size: 3 };
  for (const name of ['sequential', 'inFlight', 'batches']) {
    await holds(`a store that loses an event fails: ${name}`, async () => {
      const run = (lost) => tasks[name](losing(lost), args, { next: 0 });
      await run(() => false);
      await assert.rejects(
        run((n) => n === 2),
        /wrong outcome: x lacks an event/,
      );
    });
  }
  await holds('a reader that leaves out an event fails', async () => {
    await assert.rejects(
      tasks.reading(
        losing(() => false),
        { path: 'x', what: 'read', expected: 1 },
      ),
      /wrong outcome: read met 0 of 1 events/,
    );
  });
  await holds('tables and chart of the documentation have the figures of the last run', () => {
    const check = [join(root, 'bench/docs.mjs'), '--check'];
    const child = spawnSync(process.execPath, check, { encoding: 'utf8' });
    assert.equal(child.status, 0, child.stderr);
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
