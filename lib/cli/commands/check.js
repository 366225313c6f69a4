'use strict';

const { statSync } = require('node:fs');
const { Listing } = require('../../binding/native.js');
const { analyzeListed } = require('../../check/analyze.js');
const { repairListed } = require('../../check/repair.js');
const { verifyInPages } = require('../../check/verify.js');
const { formatAnalysisReport, streamChronicle } = require('../../index.js');
const { checkPath } = require('../arguments.js');
const { ANY_EXTENSION, TIMEOUT, anyFile, defined } = require('../options.js');
const { Progress } = require('../output.js');
const { counted, isObject, printable, size, style } = require('../text.js');

/**
 * @typedef {import('../arguments.js').Command} Command
 * @typedef {import('../output.js').Output} Output
 * @typedef {{ bytes: number, total: number }} Progressed
 */

/** @type {Command} */
const verify = {
  name: 'verify',
  summary: 'check every line and record of a log',
  words: 'FILE',
  count: [1, 1],
  more: [
    'Damaged lines, wrong ids, duplicates and broken chains are findings that end it with 1. A torn tail ' +
      'and timestamps that run backwards are told, but leave the log good.',
  ],
  options: [],
  examples: [
    ['chronicle verify agent.sage', 'the findings, one a line'],
    ['chronicle verify agent.sage --json | jq .findings', 'the same for programs'],
  ],
  async run({ words, options }, output) {
    const path = anyFile(String(words[0]));
    // The exit code is the verdict, also if the output is closed early.
    output.hasVerdict = true;
    const progress = new Progress('verify', options.json);
    /** @type {{ anyExtension: boolean, onProgress: (at: Progressed) => void }} */
    const verifyOptions = {
      anyExtension: true,
      onProgress: ({ bytes, total }) => progress.update(bytes, total),
    };
    let count = 0;
    // Printed one by one: a log may have more findings than memory holds.
    if (options.json) await output.text('{"findings":[');
    const result = await verifyInPages(path, verifyOptions, async (findings) => {
      progress.clear();
      for (const finding of findings) {
        const comma = count > 0 ? ',' : '';
        count += 1;
        if (options.json) await output.text(comma + JSON.stringify(finding));
        else await printFinding(finding, output);
      }
    }).finally(() => progress.clear());
    if (options.json) await output.line(`],${JSON.stringify(result).slice(1)}`);
    else await printVerdict(result, count, output);
    return result.ok ? 0 : 1;
  },
};

/**
 * @param {import('../../../index.d.ts').Finding} finding
 * @param {Output} output
 */
function printFinding({ kind, line, offset, details }, output) {
  const mild = kind === 'torn' || kind === 'out-of-order' || kind === 'no-time';
  const name = style(output.stream, mild ? 'yellow' : 'red', kind);
  return output.line(`line ${line}, byte ${offset}: ${name}: ${printable(details)}`);
}

/**
 * @param {Omit<import('../../../index.d.ts').Verification, 'findings'>} result
 * @param {number} count of findings
 * @param {Output} output
 */
async function printVerdict({ ok, bytes, lines, records }, count, output) {
  const word = ok ? style(output.stream, 'green', 'ok') : style(output.stream, 'red', 'not ok');
  await output.line(
    `${word}: ${counted(records, 'record')} in ${counted(lines, 'line')}, ${size(bytes)}, ${counted(count, 'finding')}`,
  );
}

/** @type {Command} */
const analyze = {
  name: 'analyze',
  summary: 'tell what is in a log: types, actors, times, sizes, chain',
  words: 'FILE',
  count: [1, 1],
  options: [],
  examples: [
    ['chronicle analyze agent.sage', 'a report'],
    ['chronicle analyze agent.sage --json | jq .eventTypes', 'one part of it'],
  ],
  async run({ words, options }, output) {
    const links = new Listing();
    const path = anyFile(String(words[0]));
    const analysis = await analyzeListed(path, { anyExtension: true }, links);
    if (!options.json) {
      await output.line(formatAnalysisReport(analysis).trimEnd());
      return 0;
    }
    const { brokenLinksOmitted, orphanedEvents, ...chain } = analysis.causalChainIntegrity;
    const causalChainIntegrity = { ...chain, brokenLinks: [], orphanedEvents };
    await jsonWithList({ ...analysis, causalChainIntegrity }, 'brokenLinks', links, output);
    return 0;
  },
};

/** @type {Command} */
const repair = {
  name: 'repair',
  summary: 'move damaged lines out of a log',
  words: 'FILE',
  count: [1, 1],
  more: [
    'Good lines are kept byte for byte. What is moved out stands in FILE.removed.<ms>, the file as it was ' +
      'in FILE.backup.<ms>. Where nothing is to be done, nothing is written.',
  ],
  options: [
    { name: 'dry-run', help: 'tell what would be done, and do nothing' },
    { name: 'remove-duplicates', help: 'move out records whose id or key an earlier one has' },
    { name: 'fix-timestamp-order', help: 'sort the records by time' },
    { name: 'no-backup', help: 'keep no link to the file as it was' },
    TIMEOUT,
    ANY_EXTENSION,
  ],
  examples: [
    ['chronicle repair agent.sage --dry-run', 'look first'],
    ['chronicle repair agent.sage', 'then do it'],
  ],
  async run({ words, options }, output) {
    const [path = ''] = words;
    checkPath(path, 'repair', options['any-extension']);
    const removed = new Listing();
    const result = await repairListed(
      path,
      defined({
        dryRun: options['dry-run'],
        removeDuplicates: options['remove-duplicates'],
        fixTimestampOrder: options['fix-timestamp-order'],
        createBackup: options['no-backup'] ? false : undefined,
        lockTimeoutMs: options.timeout,
        anyExtension: options['any-extension'],
      }),
      removed,
    );
    if (options.json) {
      const { removedOmitted, ...plan } = result.plan;
      await jsonWithList({ ...result, plan: { ...plan, removed: [] } }, 'removed', removed, output);
    } else {
      await printRepair(result, removed, options['dry-run'] === true, output);
    }
    return 0;
  },
};

/**
 * The entries of a list, which the binding returns in parts.
 *
 * @param {Listing} listing
 * @returns {Generator<any>}
 */
function* entriesOf(listing) {
  for (;;) {
    const part = JSON.parse(listing.next());
    if (part.length === 0) return;
    yield* part;
  }
}

/**
 * Prints a result as one line of JSON. The listing replaces the empty list of this name; it may be
 * longer than the longest string.
 *
 * @param {object} result
 * @param {string} name
 * @param {Listing} listing
 * @param {Output} output
 */
async function jsonWithList(result, name, listing, output) {
  const text = JSON.stringify(result);
  // Not part of a string: quotes in strings are escaped.
  const empty = `"${name}":[]`;
  const at = text.indexOf(empty) + empty.length - 1;
  await output.text(text.slice(0, at));
  let comma = '';
  for (const entry of entriesOf(listing)) {
    await output.text(comma + JSON.stringify(entry));
    comma = ',';
  }
  await output.line(text.slice(at));
}

/**
 * @param {import('../../../index.d.ts').ChronicleRepairResult} result
 * @param {Listing} removed
 * @param {boolean} dryRun
 * @param {Output} output
 */
async function printRepair(result, removed, dryRun, output) {
  const { repaired, backupPath, removedPath, ...rest } = result;
  for (const { kind, line, offset, length } of entriesOf(removed)) {
    await output.line(
      `line ${line}, byte ${offset}: ${style(output.stream, 'red', kind)}: ${counted(length, 'byte')}`,
    );
  }
  for (const change of rest.changesApplied) await output.line(printable(change));
  for (const warning of rest.warnings) {
    await output.line(`${style(output.stream, 'yellow', 'warning')}: ${printable(warning)}`);
  }
  if (removedPath) await output.line(`removed lines: ${printable(removedPath)}`);
  if (backupPath) await output.line(`the file as it was: ${printable(backupPath)}`);
  if (dryRun) await output.line('nothing was changed: this was a dry run');
  else await output.line(repaired ? 'repaired' : 'nothing to repair');
}

/** @type {Command} */
const stats = {
  name: 'stats',
  summary: 'tell the size of a log, its first and last event, and how many of each type',
  words: 'FILE',
  count: [1, 1],
  more: [
    'With --json: { bytes, records, badLines, first, last, types }, first and last being { timestamp, type, ' +
      'eventId } in file order, or null.',
  ],
  options: [],
  examples: [
    ['chronicle stats agent.sage', 'at a glance'],
    ['chronicle stats agent.sage --json | jq .types.BUILD', 'how many builds'],
  ],
  async run({ words, options }, output) {
    const facts = await factsOf(anyFile(String(words[0])), options.json);
    if (options.json) await output.line(JSON.stringify(facts));
    else for (const line of factLines(facts, output)) await output.line(line);
    return 0;
  },
};

/**
 * @param {string} path
 * @param {boolean} [quiet]
 */
async function factsOf(path, quiet) {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const progress = new Progress('stats', quiet);
  let records = 0;
  let badLines = 0;
  let first = null;
  let last = null;
  /** @type {Map<string, number>} */
  const counts = new Map();
  const onBadLine = () => void (badLines += 1);
  const options = /** @type {const} */ ({ anyExtension: true, positions: true, onBadLine });
  try {
    for await (const { event, offset } of streamChronicle(path, options)) {
      progress.update(offset, bytes);
      records += 1;
      first ??= event;
      last = event;
      const type = typeof event.type === 'string' ? event.type : '(none)';
      counts.set(type, (counts.get(type) ?? 0) + 1);
    }
  } finally {
    progress.clear();
  }
  const types = Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
  return { bytes, records, badLines, first: brief(first), last: brief(last), types };
}

/** @param {any} event */
function brief(event) {
  if (!isObject(event)) return null;
  const { timestamp, type, eventId } = event;
  return { timestamp, type, eventId };
}

/**
 * @param {Awaited<ReturnType<typeof factsOf>>} facts
 * @param {Output} output
 */
function factLines({ bytes, records, badLines, first, last, types }, { stream }) {
  const line = (/** @type {string} */ name, /** @type {string} */ text) =>
    `${style(stream, 'dim', name.padEnd(10))}${text}`;
  const shown = (/** @type {ReturnType<typeof brief>} */ event) =>
    event ? printable(`${event.timestamp ?? '-'}  ${event.type ?? '-'}`) : '-';
  const width = String(Math.max(0, ...Object.values(types))).length;
  return [
    line('size', size(bytes)),
    line('records', records.toLocaleString('en-US')),
    line('bad lines', badLines.toLocaleString('en-US')),
    line('first', shown(first)),
    line('last', shown(last)),
    ...Object.entries(types).map(([type, count], n) =>
      line(n === 0 ? 'types' : '', `${String(count).padStart(width)}  ${printable(type)}`),
    ),
  ];
}

module.exports = { analyze, repair, stats, verify };
