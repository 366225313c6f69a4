// npm run example: four processes record this repository's history and its installed dependencies
// in two chronicles at the same time. One of them is killed on the way, and another process takes
// up its work. Then everything is recorded once more. At the end the chronicles are compared with
// the receipts, with git and with the files. Any difference: exit 1.
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  againstBytes,
  againstIds,
  againstReceipts,
  againstTail,
  againstWorld,
  recordsOf,
} from './record/compare.mjs';
import { shares, startWriter } from './record/crew.mjs';
import { number, phase } from './record/progress.mjs';
import { commitEvent, fileEvent, inParallel, listCommits, listFiles } from './record/sources.mjs';

const writerCount = 4;
const mostEvents = 20_000;
const mostCommits = 5_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = resolve(process.argv[2] ?? join(root, '.sage', 'record'));
const chronicles = {
  commits: join(folder, 'commits.sage'),
  files: join(folder, 'files.sage'),
};
const differences = [];

/** What a first recording makes: one receipt for each item. */
const receipts = { commits: new Map(), files: new Map() };

async function itemsToRecord() {
  const { commits, missing } = listCommits(root, mostCommits);
  const files = await listFiles(root, mostEvents - commits.length);
  if (missing) console.log(`without the history: ${missing}`);
  console.log(
    `recording ${number(commits.length)} commits and ${number(files.length)} files with ${writerCount} processes`,
  );
  return [
    ...commits.map((commit) => ({ into: 'commits', key: commit.hash, commit })),
    ...files.map((file) => ({ into: 'files', key: file, file })),
  ];
}

const job = (items, batches) => ({ root, chronicles, items, batches });

/**
 * Keeps the first receipt of each key; every later one must name the same record. `duplicate` is
 * the value that the receipt must have, undefined where either is right.
 */
function note(chronicleOf, key, receipt, duplicate) {
  const known = receipts[chronicleOf.get(key)];
  const first = known.get(key) ?? receipt;
  known.set(key, first);
  const same = ['eventId', 'seq', 'offset', 'length'].every(
    (field) => first[field] === receipt[field],
  );
  const expected = first === receipt ? duplicate : true;
  const right = expected === undefined || receipt.duplicate === expected;
  if (!same || !right || !receipt.identical || !receipt.durable) {
    differences.push(`${key}: first ${JSON.stringify(first)}, then ${JSON.stringify(receipt)}`);
  }
}

/**
 * The first recording, in the middle of which the last writer is killed. Returns the share that
 * the killed writer leaves behind.
 */
async function recordAndKill(items, chronicleOf) {
  const parts = shares(items, writerCount);
  const abandoned = parts[writerCount - 1];
  const progress = phase('recorded', items.length);
  let acknowledged = 0;
  const victim = startWriter(job(abandoned, false), (key, receipt) => {
    note(chronicleOf, key, receipt, false);
    progress.step();
    acknowledged += 1;
    if (acknowledged >= abandoned.length / 3) victim.kill();
  });
  const others = parts.slice(0, -1).map((part) =>
    startWriter(job(part, false), (key, receipt) => {
      note(chronicleOf, key, receipt, false);
      progress.step();
    }),
  );
  const signal = await victim.ended;
  await Promise.all(others.map((writer) => writer.ended));
  if (signal !== 'SIGKILL') differences.push('the writer ended before it was killed');
  progress.end(
    `${number(receipts.commits.size + receipts.files.size)} events; a writer was killed after ${number(acknowledged)} receipts`,
  );
  return abandoned;
}

async function takeUpAgain(abandoned, chronicleOf) {
  const progress = phase('taken up again', abandoned.length);
  let there = 0;
  const heir = startWriter(job(abandoned, false), (key, receipt) => {
    note(chronicleOf, key, receipt, undefined);
    progress.step();
    if (receipt.duplicate) there += 1;
  });
  await heir.ended;
  progress.end(`${number(there)} were there already, ${number(abandoned.length - there)} were not`);
}

async function recordAgain(items, chronicleOf) {
  const progress = phase('recorded again', items.length);
  let duplicates = 0;
  const parts = shares(items, writerCount, 1);
  const writers = parts.map((part) =>
    startWriter(job(part, true), (key, receipt) => {
      note(chronicleOf, key, receipt, true);
      progress.step();
      if (receipt.duplicate) duplicates += 1;
    }),
  );
  await Promise.all(writers.map((writer) => writer.ended));
  if (duplicates !== items.length) {
    differences.push(`${duplicates} of ${items.length} appends were duplicates`);
  }
  progress.end(`${number(duplicates)} duplicates of ${number(items.length)} appends`);
}

async function check(items) {
  const events = {};
  for (const [name, path] of Object.entries(chronicles)) {
    const progress = phase(`${name} checked`, receipts[name].size);
    const records = await recordsOf(path);
    events[name] = records.map((record) => record.event);
    differences.push(
      ...againstReceipts(path, records, receipts[name]),
      ...(records.length > 0 ? await againstBytes(path, records) : []),
      ...(await againstIds(path, events[name])),
      ...(await againstTail(path, events[name])),
    );
    progress.end(`${number(records.length)} records read, every id verified`);
  }

  const commits = listCommits(root, mostCommits).commits.map(commitEvent);
  const paths = await listFiles(root, mostEvents - commits.length);
  const progress = phase('compared', paths.length);
  const files = [];
  await inParallel(paths, 16, async (path) => {
    files.push(await fileEvent(root, path));
    progress.step();
  });
  if (commits.length + files.length !== items.length) differences.push('the world has changed');
  differences.push(
    ...againstWorld(chronicles.commits, events.commits, commits, (event) => event.hash),
    ...againstWorld(chronicles.files, events.files, files, (event) => event.filePath),
  );
  progress.end(
    `${number(commits.length)} commits with git, ${number(files.length)} files with the disk`,
  );
}

/** A path as a command typed in `root` can name it, the same in every shell. */
function typed(path) {
  const inside = relative(root, path);
  const name = inside.startsWith('..') || isAbsolute(inside) ? path : inside;
  return name.split(sep).join('/');
}

function printNext() {
  const path = typed(chronicles.files);
  const run = (program) => console.log(`  $ node -e "${program}"`);
  console.log(`\nThe chronicles are in ${typed(folder)}. To try next, in ${root}:`);
  run(`require('./index.js').tailChronicle('${path}', 3).then(console.log)`);
  run(
    `require('./index.js').readChronicle('${path}').then((all) => console.log(all.length, 'events'))`,
  );
  // The last event once more: its receipt says that it is a duplicate.
  run(
    `const c = require('./index.js'); c.tailChronicle('${path}', 1).then(([e]) => c.append('${path}', e)).then(console.log)`,
  );
}

mkdirSync(folder, { recursive: true });
for (const path of Object.values(chronicles)) {
  const name = path.slice(folder.length + 1);
  for (const old of [name, `.${name}.chronicle-index`, `.${name}.chronicle-lock`]) {
    rmSync(join(folder, old), { force: true });
  }
}

const items = await itemsToRecord();
const chronicleOf = new Map(items.map((item) => [item.key, item.into]));
const abandoned = await recordAndKill(items, chronicleOf);
await takeUpAgain(abandoned, chronicleOf);
await recordAgain(items, chronicleOf);
await check(items);

if (differences.length > 0) {
  console.error(`\n${number(differences.length)} not as it should be:`);
  for (const difference of differences.slice(0, 20)) console.error(`  ${difference}`);
  process.exitCode = 1;
} else {
  console.log('\nNo difference: every event is there once, where its receipt says.');
  printNext();
}
