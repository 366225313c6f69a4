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

/** The rows of README, in their order. */
const chosen = [
  [
    'sequential/plain',
    'a durable append, awaited one by one, against a C loop of flock, write, fdatasync',
  ],
  [
    'sequential/handed',
    'the same against C that hands each to a second thread, so that its first stays free',
  ],
  ['in-flight/better-sqlite3', '1,000 appends in flight: times as fast as better-sqlite3'],
  ['in-flight/lmdb', '1,000 appends in flight: times as fast as lmdb'],
  ['batches/better-sqlite3', 'batches of 1,000: times as fast as better-sqlite3'],
  ['processes/10', '10 processes at once, against a C program with the sync outside the lock'],
  ['processes/10/better-sqlite3', '10 processes at once: times as fast as better-sqlite3'],
  ['sizes/1000000', 'an append into 1,000,000 events, against an empty log'],
  ['sizes/10000000', 'an append into 10,000,000 events, against an empty log'],
  [
    'reading/1000000/read',
    'reading 1,000,000 events into objects, against `readFile` and `JSON.parse` of each line',
  ],
  ['reading/1000000/query', 'a query with 1 % hits in 1,000,000: times as fast as reading all'],
];

function readmeTable(measures) {
  const rows = chosen
    .filter(([id]) => measures[id])
    .map(([id, what]) => [what, short(measures[id].median), spread(measures[id])]);
  return markdown([['', 'ratio', 'spread'], ...rows]);
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

const texts = {
  'README.md': (text) => filled(text, 'figures', readmeTable(measures)),
  'docs/performance.md': (text) =>
    filled(
      filled(filled(text, 'run', run), 'goals', goalTable(measures)),
      'figures',
      workloadTables(parts),
    ),
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
