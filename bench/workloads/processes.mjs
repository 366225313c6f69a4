// Many processes that write to one file at once.
import { Child } from '../child.mjs';
import { must, mustHold, quantile } from '../numbers.mjs';
import { numbersOf } from '../programs.mjs';
import { inTurn, ratio, summaries } from '../rounds.mjs';

const each = 50;

/**
 * Figures of a crowd: `micros` is the time from the first beginning to the last end, for each
 * append.
 */
function figuresOf(members) {
  const took = members.flatMap((member) => member.took);
  const began = Math.min(...members.map((member) => member.began));
  const ended = Math.max(...members.map((member) => member.ended));
  const micros = (ended - began) / 1000 / took.length;
  return {
    micros,
    perSecond: 1e6 / micros,
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    slowest: Math.max(...took),
  };
}

export async function nodeCrowd(bench, children, adapter) {
  const path = bench.fresh();
  const firsts = [];
  // One after the other: making the store is no part of this.
  for (const child of children) firsts.push(await child.run(adapter, 'joinCrowd', { path }));
  const members = await Promise.all(
    children.map((child) => child.run(adapter, 'appendOfCrowd', { path, count: each })),
  );
  await Promise.all(children.map((child) => child.run(adapter, 'leaveCrowd', { path })));
  const held = await children[0].run(adapter, 'keys', { path });
  mustHold(held, [...firsts.flat(), ...members.flatMap(({ keys }) => keys)], path);
  return figuresOf(members);
}

async function cCrowd(bench, processes) {
  const path = bench.fresh();
  const lines = await numbersOf(bench.c.crowd, path, processes, each, bench.lineLength);
  must(lines.length === processes, 'every process of the C crowd answered');
  const [[written]] = await numbersOf(bench.c.newlines, path);
  must(written === processes * (each + 1), 'the C crowd wrote every line');
  return figuresOf(
    lines.map(([began, ended, ...took]) => ({ began, ended, took: took.map((n) => n / 1000) })),
  );
}

/** Runs `call` with that number of processes, and ends them. */
export async function withCrowd(processes, call) {
  const children = [];
  try {
    for (let n = 0; n < processes; n += 10) {
      const started = Math.min(10, processes - n);
      children.push(...(await Promise.all(Array.from({ length: started }, () => Child.start()))));
    }
    return await call(children);
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

async function crowd(bench, processes) {
  const names = ['ours', ...bench.peers('better-sqlite3', 'lmdb')];
  if (processes <= 10) names.push(...bench.peers('proper-lockfile'));
  bench.say(`  ${processes} processes`);
  return withCrowd(processes, async (children) => {
    // Those that are compared most closely run next to each other.
    const contestants = { ours: () => nodeCrowd(bench, children, 'ours') };
    if (bench.c) contestants['C crowd'] = () => cCrowd(bench, processes);
    for (const name of names.slice(1)) contestants[name] = () => nodeCrowd(bench, children, name);
    const figures = await inTurn(bench.rounds, contestants);
    const measures = {};
    const pairs = [
      ['', 'ours', 'C crowd', 'micros'],
      ['/p99', 'ours', 'C crowd', 'p99'],
      ['/slowest', 'ours', 'C crowd', 'slowest'],
      ...names.slice(1).map((name) => [`/${name}`, name, 'ours', 'micros']),
    ];
    for (const [id, of, to, metric] of pairs) {
      const measured = ratio(figures, of, to, metric);
      if (measured) measures[`processes/${processes}${id}`] = measured;
    }
    return { rows: summaries(figures), measures };
  });
}

export const processes = {
  name: 'processes',
  async run(bench) {
    const parts = [];
    for (const count of bench.crowds) {
      const { rows, measures } = await crowd(bench, count);
      parts.push({ title: `${count} processes, ${each} appends each`, rows, measures });
    }
    return parts;
  },
};
