// Today's build and another one in turns: whether anything became slower. What the machine does
// meanwhile hits both.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { variable } from './adapters/package.mjs';
import { withChildren } from './bench.mjs';
import { runOnce } from './child.mjs';
import { Library } from './library.mjs';
import { inTurn, ratio, summaries } from './rounds.mjs';
import { short, spread, table } from './table.mjs';
import { nodeCrowd, withCrowd } from './workloads/processes.mjs';

/** The adapters of both. */
const both = ['ours', 'before'];
const named = (size) => size.toLocaleString('en-US');

/** One row: both in turn, and how many times as long today's build takes. */
async function row(title, rounds, run) {
  const figures = await inTurn(rounds, {
    ours: () => run('ours'),
    before: () => run('before'),
  });
  return { title, rows: summaries(figures), ratio: ratio(figures, 'ours', 'before') };
}

/** A task of each in a process of its own that stays. */
const task = (title, name, args) => (bench) =>
  withChildren(both, (children) =>
    row(title, bench.rounds, (which) =>
      children[which].run(which, name, { path: bench.fresh(), ...args(bench) }),
    ),
  );

const crowds = async (bench) => {
  const rows = [];
  for (const count of bench.crowds) {
    const title = `${count} processes`;
    rows.push(
      await withCrowd(count, (children) =>
        row(title, bench.rounds, (which) => nodeCrowd(bench, children, which)),
      ),
    );
  }
  return rows;
};

/** Appends to a log of `size` events; each has its own. */
async function sizes(bench, size, library) {
  for (const which of both) await library.grow(which, size);
  return withChildren(both, async (children) => {
    const kept = async (which, task, count) => {
      const log = library.log(which);
      const args = { path: log.path, from: log.count, count, warmUp: count };
      log.count += count;
      return children[which].run(which, task, args);
    };
    for (const which of both) await kept(which, 'keep', 50);
    const made = await row(`appends to ${named(size)} events`, bench.roundsAt(size), (which) =>
      kept(which, 'appendKept', bench.many),
    );
    for (const which of both) {
      const { path, count } = library.log(which);
      await children[which].run(which, 'letGo', { path, expected: count });
    }
    return made;
  });
}

/** The first append of a new process. */
async function cold(bench, size, library) {
  for (const which of both) await library.grow(which, size);
  return row(`first append to ${named(size)} events`, bench.roundsAt(size), (which) => {
    const log = library.log(which);
    log.count += 1;
    return runOnce(which, 'cold', { path: log.path, from: log.count - 1 });
  });
}

const ways = {
  read: 'readChronicle',
  each: 'streamChronicle',
  tail: 'tailChronicle of 50',
  query: 'queryChronicle, 1 % hits',
  countAll: 'countEvents of all',
  verify: 'verifyChronicle',
};

/** Both read one log. */
async function reading(bench, size, library) {
  await library.grow('ours', size);
  const { path, count } = library.log('ours');
  const expected = { tail: 50, query: library.rare('ours') };
  const heap = ['--expose-gc', '--max-old-space-size=8192'];
  return withChildren(
    both,
    async (children) => {
      const rows = [];
      for (const [what, title] of Object.entries(ways)) {
        const args = { path, what, times: what === 'tail' ? 100 : 1 };
        args.expected = expected[what] ?? count;
        rows.push(
          await row(`${title}, ${named(size)} events`, bench.roundsAt(size), (which) =>
            children[which].run(which, 'reading', args),
          ),
        );
      }
      return rows;
    },
    heap,
  );
}

/** By the names of the workloads; one of `sized` runs once for each size. */
const plain = {
  sequential: task('one writer', 'sequential', ({ many }) => ({ warmUp: 50, count: many })),
  'in-flight': task('1,000 in flight', 'inFlight', ({ waves }) => ({ waves, width: 1000 })),
  batches: task('batches of 1,000', 'batches', ({ waves }) => ({ count: waves, size: 1000 })),
  processes: crowds,
};
const sized = { sizes, cold, reading };

/** Rounds scatter: a build is slower only if it is so in every round. */
function verdict({ least, most }) {
  if (least > 1) return 'slower in every round';
  return most < 1 ? 'faster in every round' : 'within the spread';
}

function print(rows) {
  const lines = rows.map(({ title, rows: { ours, before }, ratio: measured }) => [
    title,
    short(ours.micros.median),
    spread(ours.micros),
    short(before.micros.median),
    spread(before.micros),
    short(measured.median),
    spread(measured),
    verdict(measured),
  ]);
  const head = ['us each', 'ours', 'spread', 'before', 'spread', 'ours / before', 'spread', ''];
  console.log(`\n${table([head, ...lines])}`);
}

/** The build in the folder takes part as `before`; throws where there is none. */
export function takePart(folder) {
  const path = resolve(folder);
  if (!existsSync(join(path, 'index.mjs'))) throw new Error(`no package is in ${path}`);
  process.env[variable] = path;
}

/** Measures, and gives the rows. */
export async function against(bench, chosen) {
  const rows = [];
  const add = async (name, run) => {
    bench.say(`\n# ${name}`);
    const made = [await run()].flat();
    print(made);
    rows.push(...made.map((one) => ({ workload: name, ...one })));
  };
  for (const name of chosen.filter((one) => plain[one])) await add(name, () => plain[name](bench));
  const library = new Library(bench);
  for (const size of bench.sizes) {
    for (const name of chosen.filter((one) => sized[one])) {
      await add(name, () => sized[name](bench, size, library));
    }
  }
  console.log('\n# all');
  print(rows);
  return rows;
}
