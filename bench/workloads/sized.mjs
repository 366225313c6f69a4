// What depends on the length of a log, size by size.
import { Child, runOnce } from '../child.mjs';
import { withChildren } from '../bench.mjs';
import { must, summary } from '../numbers.mjs';
import { numbersOf } from '../programs.mjs';
import { inTurn, ratio, summaries } from '../rounds.mjs';

const named = (size) => size.toLocaleString('en-US');

function measured(figures, pairs) {
  return Object.fromEntries(
    pairs
      .map(([id, of, to, metric]) => [id, ratio(figures, of, to, metric)])
      .filter(([, measure]) => measure),
  );
}

/** Appends to a long log, against appends to an empty one. */
export const sizes = {
  name: 'sizes',
  async at(bench, size, library) {
    const names = ['ours', ...bench.peers('better-sqlite3')];
    // It copies the log for every event.
    if (size <= 100_000) names.push(...bench.peers('copy-rename'));
    for (const name of names) await library.grow(name, size);
    return withChildren(names, async (children) => {
      const contestants = {};
      for (const name of names) {
        const count = name === 'copy-rename' ? 20 : bench.many;
        const warmUp = name === 'copy-rename' ? 1 : 50;
        const log = library.log(name);
        log.count += await children[name].run(name, 'keep', {
          path: log.path,
          from: log.count,
          warmUp,
        });
        contestants[`${name}, ${named(size)}`] = async () => {
          const args = { path: log.path, from: log.count, count };
          log.count += count;
          return children[name].run(name, 'appendKept', args);
        };
        contestants[`${name}, empty`] = () =>
          children[name].run(name, 'sequential', { path: bench.fresh(), warmUp, count });
      }
      const figures = await inTurn(bench.rounds, contestants);
      const held = {};
      for (const name of names) {
        const log = library.log(name);
        const args = { path: log.path, from: log.count, count: 20, watch: true };
        const { block } = await children[name].run(name, 'appendKept', args);
        log.count += 20;
        held[name] = block;
        await children[name].run(name, 'letGo', { path: log.path, expected: log.count });
      }
      const rows = summaries(figures);
      for (const name of names) rows[`${name}, ${named(size)}`].block = held[name];
      const pairs = names.map((name) => [
        name === 'ours' ? `sizes/${size}` : `sizes/${size}/${name}`,
        `${name}, ${named(size)}`,
        `${name}, empty`,
      ]);
      return {
        title: `appends to ${named(size)} events`,
        rows,
        measures: measured(figures, pairs),
      };
    });
  },
};

/** The first append of a process that has just begun. */
export const cold = {
  name: 'cold',
  async at(bench, size, library) {
    const names = ['ours', ...bench.peers('better-sqlite3')];
    for (const name of names) await library.grow(name, size);
    const first = async (name) => {
      const log = library.log(name);
      const { micros } = await runOnce(name, 'cold', { path: log.path, from: log.count });
      log.count += 1;
      return { micros };
    };
    const contestants = Object.fromEntries(names.map((name) => [name, () => first(name)]));
    const rounds = bench.roundsAt(size);
    const coverage = library.coverage(library.log('ours'));
    const figures = await inTurn(rounds, contestants);
    const scanned = library.log('ours');
    const scans = {
      'ours, no side index': async () => {
        library.dropIndex(scanned);
        return first('ours');
      },
    };
    if (bench.c) {
      scans['C newlines'] = async () => {
        const [[lines, nanoseconds]] = await numbersOf(bench.c.newlines, scanned.path);
        must(lines === scanned.count, `the log has ${lines} of ${scanned.count} lines`);
        return { micros: nanoseconds / 1000 };
      };
    }
    Object.assign(figures, await inTurn(Math.min(rounds, 5), scans));
    for (const name of names) {
      const { path, count } = library.log(name);
      const held = await runOnce(name, 'countOf', { path });
      must(held === count, `${path} holds ${held} of ${count} events`);
    }
    const title =
      `first append of a new process to ${named(size)} events` +
      (coverage > 0
        ? ` (the side index covers ${Math.round(coverage * 100)} %)`
        : ' (too short for a side index)');
    return {
      title,
      rows: summaries(figures),
      measures: measured(figures, [
        [`cold/${size}/better-sqlite3`, 'ours', 'better-sqlite3'],
        [`cold/${size}/newlines`, 'C newlines', 'ours, no side index'],
      ]),
    };
  },
};

/** Memory of a process that writes. */
export const memory = {
  name: 'memory',
  needs: '/proc',
  async at(bench, size, library) {
    const names = ['ours', ...bench.peers('better-sqlite3', 'lmdb')].filter(
      (name) => name !== 'lmdb' || size <= 1_000_000,
    );
    for (const name of names) await library.grow(name, size);
    const over = async (used) => {
      const bare = await runOnce(undefined, 'bare');
      return { megabytes: (used.rss - bare.rss) / 1e6, peak: (used.peak - bare.peak) / 1e6 };
    };
    const write = async (name) => {
      const log = library.log(name);
      const used = await runOnce(name, 'writing', { path: log.path, from: log.count, count: 200 });
      log.count += 200;
      return over(used);
    };
    const contestants = Object.fromEntries(names.map((name) => [name, () => write(name)]));
    const figures = await inTurn(3, contestants);
    const withoutIndex = await inTurn(3, {
      'ours, no side index': async () => {
        library.dropIndex(library.log('ours'));
        return write('ours');
      },
    });
    const rows = summaries({ ...figures, ...withoutIndex });
    return {
      title: `memory of a process that appended 200 times to ${named(size)} events`,
      rows,
      measures: {
        [`memory/${size}`]: summary(figures.ours.map(({ megabytes }) => megabytes)),
        [`memory/${size}/no-index`]: summary(
          withoutIndex['ours, no side index'].map(({ megabytes }) => megabytes),
        ),
      },
    };
  },
};

/** More than the strings and the heap of Node.js hold at once. */
const tooMany = 2_000_000;

const ways = {
  ours: {
    read: ['readChronicle', tooMany],
    each: ['streamChronicle'],
    tail: ['tailChronicle of 50'],
    query: ['queryChronicle, 1 % hits'],
    countAll: ['countEvents of all'],
    countRare: ['countEvents of a type'],
    verify: ['verifyChronicle'],
  },
  'better-sqlite3': {
    read: ['better-sqlite3: all', tooMany],
    tail: ['better-sqlite3: the last 50'],
    query: ['better-sqlite3: of a type, no index'],
    countRare: ['better-sqlite3: count of a type, no index'],
  },
  lmdb: { read: ['lmdb: all', tooMany], tail: ['lmdb: the last 50'] },
};

export const reading = {
  name: 'reading',
  async at(bench, size, library) {
    const names = ['ours', ...bench.peers('better-sqlite3')];
    if (size <= 1_000_000) names.push(...bench.peers('lmdb'));
    for (const name of names) await library.grow(name, size);
    const { path } = library.log('ours');
    const heap = ['--expose-gc', '--max-old-space-size=8192'];
    return withChildren(
      [...names, 'parse'],
      async (children) => {
        const tried = {};
        const expectedOf = (name, what) => {
          const { count } = library.log(name);
          if (what === 'tail') return 50;
          return what === 'query' || what === 'countRare' ? library.rare(name) : count;
        };
        for (const name of names) {
          for (const [what, [title, below = Infinity]] of Object.entries(ways[name])) {
            if (size > below) continue;
            const times = what === 'tail' ? 100 : 1;
            const args = {
              path: library.log(name).path,
              what,
              times,
              expected: expectedOf(name, what),
            };
            tried[title] = (watch) => children[name].run(name, 'reading', { ...args, watch });
          }
        }
        if (size <= tooMany) {
          const expected = library.log('ours').count;
          tried['JSON.parse of each line'] = (watch) =>
            children.parse.run(undefined, 'parsing', { path, expected, watch });
        }
        const contestants = Object.fromEntries(
          Object.entries(tried).map(([title, call]) => [title, () => call(false)]),
        );
        if (bench.c) {
          contestants['C newlines'] = async () => ({
            micros: (await numbersOf(bench.c.newlines, path))[0][1] / 1000,
          });
        }
        if (bench.hash) {
          contestants['SHA-256 on two threads'] = async () => ({
            micros: (await numbersOf(bench.hash, path, 2))[0][0] / 1000,
          });
        }
        const figures = await inTurn(bench.roundsAt(size), neighbours(contestants));
        const blocks = [];
        const rows = summaries(figures);
        for (const [title, call] of Object.entries(tried)) {
          const held = [];
          for (let n = 0; n < (title === 'readChronicle' ? 3 : 1); n += 1)
            held.push(await call(true));
          rows[title].block = summary(held.map(({ block }) => block)).median;
          if (title === 'readChronicle') blocks.push(...held);
        }
        for (const row of Object.values(rows)) row.millis = scaled(row);
        const measures = measured(figures, [
          [`reading/${size}/read`, 'readChronicle', 'JSON.parse of each line'],
          [`reading/${size}/tail`, 'tailChronicle of 50', 'better-sqlite3: the last 50'],
          [`reading/${size}/query`, 'readChronicle', 'queryChronicle, 1 % hits'],
          [`reading/${size}/verify`, 'SHA-256 on two threads', 'verifyChronicle'],
        ]);
        if (blocks.length > 0) {
          measures[`reading/${size}/block`] = summary(blocks.map(({ block }) => block));
          measures[`reading/${size}/block/own`] = summary(blocks.map(({ own }) => own));
        }
        return { title: `reading ${named(size)} events`, rows, measures };
      },
      heap,
    );
  },
};

/** In the order in which those that are compared run next to each other. */
function neighbours(contestants) {
  const order = [
    'JSON.parse of each line',
    'readChronicle',
    'queryChronicle, 1 % hits',
    'verifyChronicle',
    'SHA-256 on two threads',
    'tailChronicle of 50',
    'better-sqlite3: the last 50',
  ];
  const names = [...order, ...Object.keys(contestants).filter((name) => !order.includes(name))];
  return Object.fromEntries(
    names.filter((name) => contestants[name]).map((name) => [name, contestants[name]]),
  );
}

/** Milliseconds instead of microseconds, which are no unit for whole logs. */
function scaled(row) {
  const { median, least, most } = row.micros;
  delete row.micros;
  return { median: median / 1000, least: least / 1000, most: most / 1000 };
}

/** Many chronicles open in one process. */
export const many = {
  name: 'many',
  needs: '/proc',
  async run(bench) {
    const count = bench.logs;
    const opened = (wave) => async () => {
      const child = await Child.start();
      try {
        const bare = await child.run(undefined, 'bare');
        const folder = bench.folder();
        const used = await child.run(undefined, 'many', { folder, count, wave });
        return {
          threads: used.threads - bare.threads,
          descriptors: used.descriptors - bare.descriptors,
          megabytes: (used.rss - bare.rss) / 1e6,
          peak: (used.peak - bare.peak) / 1e6,
          block: used.block,
        };
      } finally {
        await child.stop();
      }
    };
    const figures = await inTurn(Math.min(bench.rounds, 3), {
      'ours, 100 appends at a time': opened(100),
      'ours, all appends at once': opened(count),
    });
    const [waves, atOnce] = Object.values(figures).map(
      (rounds) => (metric) => summary(rounds.map((round) => round[metric])),
    );
    return {
      title: `${named(count)} chronicles open in one process, an append to each`,
      rows: summaries(figures),
      measures: {
        'many/threads': atOnce('threads'),
        'many/descriptors': atOnce('descriptors'),
        'many/memory': waves('megabytes'),
        'many/memory-at-once': atOnce('megabytes'),
        'many/block': atOnce('block'),
      },
    };
  },
};
