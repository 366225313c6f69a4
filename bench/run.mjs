// npm run bench: all contestants, workload by workload. Prints tables and writes the figures as
// JSON.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { against, takePart } from './against.mjs';
import { Bench } from './bench.mjs';
import { Child } from './child.mjs';
import { goals, reached } from './goals.mjs';
import { Library } from './library.mjs';
import { machine, sentence } from './machine.mjs';
import { optionsOf, usage } from './options.mjs';
import { cPrograms, hashProgram, peers } from './setup.mjs';
import { contestantRows, short, spread, table } from './table.mjs';
import { workloads } from './workloads/index.mjs';

const here = dirname(fileURLToPath(import.meta.url));

function options() {
  try {
    const options = optionsOf(process.argv.slice(2), Object.keys(workloads));
    if (options.against) takePart(options.against);
    return options;
  } catch (error) {
    console.error(`${error.message}\n\n${usage}`);
    return process.exit(2);
  }
}

/** What takes part; each that does not is named. */
function contestants({ against: other, peers: wanted, workloads: chosen }) {
  if (other) return { there: [] };
  const say = (text) => console.log(`setup: ${text}`);
  const { there, missing } = wanted ? peers(say) : { there: [], missing: {} };
  for (const [name, why] of Object.entries(missing)) console.log(`SKIPPED ${name}: ${why}`);
  const c = cPrograms();
  if (!c) console.log('SKIPPED the programs in C: cc on Linux not found');
  const hashed = wanted && chosen.includes('reading');
  const hash = hashed ? hashProgram(say) : undefined;
  if (hashed && !hash) console.log('SKIPPED bench/sha256: cargo not found');
  return { there, c, hash };
}

function print({ title, rows, measures }) {
  console.log(`\n## ${title}\n`);
  console.log(table(contestantRows(rows)));
  const lines = Object.entries(measures).map(([id, measure]) => [
    id,
    measure.to ? `${measure.of} / ${measure.to}` : '',
    short(measure.median),
    measure.least === undefined ? '' : spread(measure),
  ]);
  if (lines.length > 0) console.log(`\n${table([['measure', '', 'median', 'spread'], ...lines])}`);
}

function printGoals(measures) {
  const lines = goals
    .filter(({ id }) => measures[id])
    .map((goal) => [
      goal.what,
      `${goal.most === undefined ? '>=' : '<='} ${goal.most ?? goal.least} ${goal.unit}`.trim(),
      short(measures[goal.id].median),
      reached(goal, measures[goal.id].median) ? 'reached' : 'not reached',
    ]);
  if (lines.length > 0) console.log(`\n${table([['goal', '', 'here', ''], ...lines])}`);
}

/** All workloads, their parts one after the other. */
async function runAll(bench, chosen) {
  const parts = [];
  const add = (name, results) => {
    for (const part of [results].flat()) {
      parts.push({ workload: name, ...part });
      print(part);
    }
  };
  const begin = (name, size) =>
    console.log(`\n# ${name}${size ? ` at ${size.toLocaleString('en-US')}` : ''}`);
  const possible = chosen.workloads.filter((name) => {
    const { needs } = workloads[name];
    if (!needs || existsSync(needs)) return true;
    console.log(`SKIPPED ${name}: ${needs} not found`);
    return false;
  });
  for (const name of possible.filter((one) => workloads[one].run)) {
    begin(name);
    add(name, await workloads[name].run(bench));
  }
  const sized = possible.filter((one) => workloads[one].at);
  const library = new Library(bench);
  for (const size of sized.length > 0 ? bench.sizes : []) {
    for (const name of sized) {
      begin(name, size);
      add(name, await workloads[name].at(bench, size, library));
    }
  }
  return parts;
}

const chosen = options();
if (chosen.help) {
  console.log(usage);
} else {
  const bench = new Bench({ options: chosen, ...contestants(chosen), say: console.log });
  // What was written may be gigabytes, and a contestant that goes on makes its folder again.
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, async () => {
      await Child.killAll();
      bench.end();
      process.exit(1);
    });
  }
  const where = machine(bench.root, bench.there);
  let parts = [];
  try {
    console.log(sentence(where));
    if (where.fileSystem === 'tmpfs')
      console.log('syncs cost nothing on tmpfs: --folder names another file system');
    await bench.begin();
    parts = chosen.against ? await against(bench, chosen.workloads) : await runAll(bench, chosen);
  } finally {
    bench.end();
  }
  if (!chosen.against) printGoals(Object.assign({}, ...parts.map((part) => part.measures)));
  const { rounds, sizes, crowds, many } = bench;
  const name = chosen.against ? 'against.json' : 'last.json';
  const out = chosen.out ?? join(here, 'results', name);
  mkdirSync(dirname(out), { recursive: true });
  const report = { where, settings: { rounds, sizes, crowds, appends: many }, parts };
  writeFileSync(out, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`\nthe figures: ${out}`);
}
