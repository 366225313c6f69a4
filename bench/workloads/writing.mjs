// One process that writes: each append awaited, many under way, batches.
import { withChildren } from '../bench.mjs';
import { median, must } from '../numbers.mjs';
import { latencies, numbersOf } from '../programs.mjs';
import { inTurn, ratio, summaries } from '../rounds.mjs';

/** A round more of each contestant, untimed, in which the event loop is watched. */
async function blocks(children, contestants, run) {
  const held = {};
  for (const name of contestants) held[name] = (await run(name, true)).block;
  return held;
}

/**
 * The figures of a workload. A ratio is the time divided by that of the other one; with
 * `faster`, the speed divided by that of the other one.
 */
function result(title, figures, held, pairs) {
  const measures = {};
  for (const { id, of, to, metric } of pairs) {
    const measured = ratio(figures, of, to, metric);
    if (measured) measures[id] = measured;
  }
  const rows = summaries(figures);
  for (const [name, block] of Object.entries(held)) rows[name].block = block;
  return { title, rows, measures };
}

export const sequential = {
  name: 'sequential',
  async run(bench) {
    const { rounds, c } = bench;
    const names = [
      'ours',
      ...bench.peers(
        'better-sqlite3',
        'lmdb',
        'append-file',
        'sonic-boom',
        'proper-lockfile',
        'copy-rename',
      ),
    ];
    const slow = new Set(['lmdb', 'proper-lockfile', 'copy-rename', 'sonic-boom', 'append-file']);
    return withChildren(names, async (children) => {
      const run = (name, watch) =>
        children[name].run(name, 'sequential', {
          path: bench.fresh(),
          warmUp: 50,
          count: slow.has(name) ? bench.few : bench.many,
          watch,
        });
      const contestants = { ours: () => run('ours') };
      for (const program of c ? ['append', 'handed'] : []) {
        contestants[`C ${program}`] = async () => {
          const path = bench.fresh();
          const figures = await latencies(c[program], path, 50, bench.many, bench.lineLength);
          const [[lines]] = await numbersOf(c.newlines, path);
          must(lines === 50 + bench.many, `C ${program} wrote every line`);
          return figures;
        };
      }
      for (const name of names.slice(1)) contestants[name] = () => run(name);
      const figures = await inTurn(rounds, contestants);
      const held = await blocks(children, names, run);
      return result('one writer that awaits each append', figures, held, [
        { id: 'sequential/handed', of: 'ours', to: 'C handed' },
        { id: 'sequential/plain', of: 'ours', to: 'C append' },
        { id: 'sequential/handed-plain', of: 'C handed', to: 'C append' },
        ...names.slice(1).map((name) => ({ id: `sequential/${name}`, of: name, to: 'ours' })),
      ]);
    });
  },
};

export const inFlight = {
  name: 'in-flight',
  async run(bench) {
    const names = ['ours', ...bench.peers('better-sqlite3', 'lmdb', 'sonic-boom', 'append-file')];
    const waves = { ours: bench.waves, lmdb: bench.waves };
    return withChildren(names, async (children) => {
      const run = (name, watch) =>
        children[name].run(name, 'inFlight', {
          path: bench.fresh(),
          waves: waves[name] ?? 1,
          width: 1000,
          watch,
        });
      const contestants = Object.fromEntries(names.map((name) => [name, () => run(name)]));
      const figures = await inTurn(bench.rounds, contestants);
      const held = await blocks(children, names, run);
      return result('1,000 appends in flight', figures, held, [
        ...names.slice(1).map((name) => ({ id: `in-flight/${name}`, of: name, to: 'ours' })),
      ]);
    });
  },
};

export const batches = {
  name: 'batches',
  async run(bench) {
    const { c } = bench;
    const count = bench.waves;
    const size = 1000;
    const names = ['ours', ...bench.peers('better-sqlite3', 'lmdb', 'append-file', 'sonic-boom')];
    return withChildren(names, async (children) => {
      const run = (name, watch) =>
        children[name].run(name, 'batches', { path: bench.fresh(), count, size, watch });
      const contestants = { ours: () => run('ours') };
      if (c) {
        contestants['C batch'] = async () => {
          const path = bench.fresh();
          const micros = await batchTime(c.batch, path, count, size, bench.lineLength);
          const [[lines]] = await numbersOf(c.newlines, path);
          must(lines === (count + 1) * size, 'C batch wrote every line');
          return { micros: micros / size, perSecond: (size * 1e6) / micros };
        };
      }
      for (const name of names.slice(1)) contestants[name] = () => run(name);
      const figures = await inTurn(bench.rounds, contestants);
      const held = await blocks(children, names, run);
      return result('batches of 1,000', figures, held, [
        ...names.slice(1).map((name) => ({ id: `batches/${name}`, of: name, to: 'ours' })),
        { id: 'batches/C', of: 'ours', to: 'C batch' },
      ]);
    });
  },
};

/** The median microseconds of a batch, the first one left out. */
async function batchTime(program, path, count, size, length) {
  const took = (await numbersOf(program, path, count + 1, size, length)).slice(1);
  return median(took.map(([nanoseconds]) => nanoseconds / 1000));
}
