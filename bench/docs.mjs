// Writes the figures of the last run into the documentation: tables between markers, and the chart.
//
// Usage: node bench/docs.mjs [--check]   (only says whether they are those of the last run)
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chart } from './chart.mjs';
import { goals, reached } from './goals.mjs';
import { sentence } from './machine.mjs';
import { contestantRows, short, spread } from './table.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);

const markdown = ([head, ...rows]) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

const bound = ({ most, least, unit }) =>
  `${most === undefined ? 'at least' : 'at most'} ${most ?? least}${unit && ` ${unit}`}`;

/** A median alone says little when the rounds do not agree. */
function verdict(goal, { median, least, most }) {
  const good = reached(goal, median);
  const agreed = reached(goal, least) === good && reached(goal, most) === good;
  if (agreed) return good ? 'reached' : '**not reached**';
  return good ? 'reached, not in every round' : '**not reached**, but in some rounds';
}

function goalTable(measures) {
  const rows = goals.map((goal) => {
    const measure = measures[goal.id];
    if (!measure) return [goal.what, bound(goal), 'not measured', '', ''];
    return [goal.what, bound(goal), short(measure.median), spread(measure), verdict(goal, measure)];
  });
  return markdown([['', 'goal', 'here', 'spread', ''], ...rows]);
}

/** The contestants that a reader may choose instead, and what they are called in a table. */
const peerNames = [
  ['ours', '**@sage/chronicle**'],
  ['better-sqlite3', 'better-sqlite3 (WAL, `FULL`)'],
  ['lmdb', 'lmdb'],
  ['sonic-boom', 'sonic-boom (under pino), `fsync`; no lock'],
  ['append-file', '`appendFile` and `fsync`; no lock'],
  ['proper-lockfile', 'proper-lockfile and `appendFile`'],
  ['copy-rename', 'copy, sync, rename'],
];

/** The workloads that compare appends, as columns of a table. */
const appending = [
  ['sequential', 'one by one', 'C append'],
  ['in-flight', '1,000 under way', ''],
  ['batches', 'batches of 1,000', 'C batch'],
  ['10 processes', '10 processes', 'C crowd'],
];

/** Durable appends a second, a row for each contestant. The best one in a column is bold. */
function peersTable(parts) {
  const rowsOf = (of) =>
    parts.find(({ workload, title }) => workload === of || title.startsWith(of))?.rows ?? {};
  const columns = appending.map(([of, title, limit]) => {
    const rows = rowsOf(of);
    const rate = (name) => rows[name]?.micros && Math.round(1e6 / rows[name].micros.median);
    return {
      title,
      rate,
      limit: rate(limit),
      best: Math.max(...peerNames.map(([n]) => rate(n) || 0)),
    };
  });
  const cell = (rate, best) => {
    if (!rate) return '';
    const number = rate.toLocaleString('en-US');
    return rate === best ? `**${number}**` : number;
  };
  const rows = peerNames.map(([name, label]) => [
    label,
    ...columns.map(({ rate, best }) => cell(rate(name), best)),
  ]);
  const limits = [
    'a C program with the same lock and sync',
    ...columns.map(({ limit }) => cell(limit)),
  ];
  return markdown([['', ...columns.map(({ title }) => title)], ...rows, limits]);
}

/** What is done with a long log, and the contestants that do it: rows of the tables of `parts`. */
const longLog = [
  ['append one event, awaited', 'sizes', { ours: 'ours, N', sqlite: 'better-sqlite3, N' }],
  ['first append of a new process', 'cold', { ours: 'ours', sqlite: 'better-sqlite3' }],
  [
    'read all into objects',
    'reading',
    { ours: 'readChronicle', sqlite: 'better-sqlite3: all', lmdb: 'lmdb: all' },
  ],
  [
    'the last 50',
    'reading',
    {
      ours: 'tailChronicle of 50',
      sqlite: 'better-sqlite3: the last 50',
      lmdb: 'lmdb: the last 50',
    },
  ],
  [
    'query a type with 1 % hits',
    'reading',
    { ours: 'queryChronicle, 1 % hits', sqlite: 'better-sqlite3: of a type, no index' },
  ],
  [
    'count a type',
    'reading',
    { ours: 'countEvents of a type', sqlite: 'better-sqlite3: count of a type, no index' },
  ],
  ['verify every line and id', 'reading', { ours: 'verifyChronicle' }],
];

/** A duration in the unit that suits it. */
function duration(micros) {
  if (micros === undefined) return '';
  if (micros < 1e3) return `${short(micros)} us`;
  return micros < 1e6 ? `${short(micros / 1e3)} ms` : `${short(micros / 1e6)} s`;
}

/** The figures of a log of `size` events, against the packages that do the same. */
function longLogTable(parts, size) {
  const number = size.toLocaleString('en-US');
  const rows = longLog.map(([what, workload, names]) => {
    const part = parts.find(
      (one) => one.workload === workload && one.title.includes(`${number} events`),
    );
    const time = (name) => {
      const row = part?.rows[name?.replace('N', number)];
      return duration(row?.micros?.median ?? (row?.millis && row.millis.median * 1e3));
    };
    return [what, time(names.ours), time(names.sqlite), time(names.lmdb)];
  });
  return markdown([['', '@sage/chronicle', 'better-sqlite3', 'lmdb'], ...rows]);
}

const workloadTables = (parts) =>
  parts
    .map(
      ({ title, rows }) =>
        `### ${title[0].toUpperCase()}${title.slice(1)}\n\n${markdown(contestantRows(rows))}`,
    )
    .join('\n\n');

const rates = (rows) =>
  Object.entries(rows)
    .filter(([, { micros }]) => micros)
    .map(([name, { micros }]) => ({
      name: name === 'ours' ? '@sage/chronicle' : name,
      value: 1e6 / micros.median,
      label: `${Math.round(1e6 / micros.median).toLocaleString('en-US')} / s`,
    }));

function panels(parts, measures) {
  const bars = parts
    .filter(({ workload }) =>
      ['sequential', 'in-flight', 'batches', 'processes'].includes(workload),
    )
    .map(({ title, rows }) => ({ title: `${title}: durable appends a second`, bars: rates(rows) }));
  const grown = Object.entries(measures)
    .filter(([id]) => id.startsWith('sizes/'))
    .map(([, { of, median }]) => ({
      name: of.replace('ours', '@sage/chronicle'),
      value: median,
      label: `${short(median)} x`,
    }));
  if (grown.length > 0)
    bars.push({
      title: 'an append to a log of so many events, against an empty one (shorter is better)',
      bars: grown,
    });
  return bars;
}

function filled(text, name, content) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`there is no ${begin} with its end`);
  return `${text.slice(0, from)}${begin}\n\n${content}\n\n${text.slice(to)}`;
}

const { where, settings, parts } = JSON.parse(
  readFileSync(join(here, 'results/last.json'), 'utf8'),
);
const measures = Object.assign({}, ...parts.map((part) => part.measures));
const peers = Object.entries(where.peers).map(([name, version]) => `${name} ${version}`);
const run = `One run on ${where.date}, ${settings.rounds} rounds: ${sentence(where)}${peers.length > 0 ? `; ${peers.join(', ')}` : ''}.`;

/** The names and contents of the marked places of a page. */
const page = (places) => (text) =>
  Object.entries(places).reduce((done, [name, content]) => filled(done, name, content), text);

const size = Math.max(...settings.sizes);
const texts = {
  'README.md': page({ figures: `${peersTable(parts)}\n\n${run}` }),
  'docs/performance.md': page({
    run,
    appends: peersTable(parts),
    'long log': `With ${size.toLocaleString('en-US')} events in the log:\n\n${longLogTable(parts, size)}`,
    figures: workloadTables(parts),
  }),
  'bench/README.md': page({ goals: `${run}\n\n${goalTable(measures)}` }),
  'docs/performance.svg': () =>
    chart('Durable appends a second, against other packages and C', panels(parts, measures)),
};

const stale = [];
for (const [name, make] of Object.entries(texts)) {
  const path = join(root, name);
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const after = make(before);
  if (after === before) continue;
  stale.push(name);
  if (!process.argv.includes('--check')) writeFileSync(path, after);
}
if (process.argv.includes('--check') && stale.length > 0) {
  console.error(`not of the last run: ${stale.join(', ')}; node bench/docs.mjs writes them`);
  process.exitCode = 1;
}
