// The suites of `npm test`, each with its time limit in seconds. The suites of one lane run in
// this order. The lanes run side by side.
import { join } from 'node:path';
import { cargo, check, jsonReport, lines } from './counts.mjs';
import { root, setupFolder, staleBindings } from './setup.mjs';

/** Where the runner keeps logs and reports. */
export const logFolder = join(setupFolder, 'logs');

const script = (path, ...args) => ({
  command: process.execPath,
  args: [join(root, path), ...args],
});
const cargoWith = (...args) => ({ command: 'cargo', args });
const tsc = (project) =>
  script('node_modules/typescript/bin/tsc', '--noEmit', '--project', join(root, project));

/**
 * `.ci/run` sets the variable. Tests then run in full size, and lints cover every target with each
 * set of features.
 */
const isLong = process.env.CHRONICLE_LONG === '1';
const core = '--no-default-features';
const clippy = (...targets) => cargoWith('clippy', '--locked', ...targets, '--', '-D', 'warnings');

function vitest(name, ...args) {
  const report = join(logFolder, `${name}.json`);
  return {
    name,
    lane: 'specs',
    report,
    limit: isLong ? 900 : 600,
    count: jsonReport(report),
    ...script(
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ),
  };
}

function jest() {
  const report = join(logFolder, 'jest.json');
  return {
    name: 'jest',
    lane: 'package',
    report,
    limit: 120,
    count: jsonReport(report),
    ...script(
      'node_modules/jest/bin/jest.js',
      '--config',
      join(root, '__test__/jest/jest.config.cjs'),
      '--ci',
      '--json',
      `--outputFile=${report}`,
    ),
  };
}

/**
 * `lane`: suites of different lanes run side by side. Suites that wait for the lock of Cargo share
 * one lane. `needs`: a component that may be missing, with the arguments that show it is there.
 * `onRequest`: runs only when it is named.
 */
export const suites = [
  {
    name: 'rustfmt',
    lane: 'rust',
    limit: 60,
    count: check,
    needs: { tool: 'rustfmt', command: 'cargo', args: ['fmt', '--version'] },
    ...cargoWith('fmt', '--check'),
  },
  {
    name: 'prettier',
    lane: 'package',
    limit: 60,
    count: check,
    ...script('node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', root),
  },
  { name: 'generated', lane: 'package', unequal: staleBindings },
  { name: 'types-lib', lane: 'package', limit: 60, count: check, ...tsc('tsconfig.json') },
  ...['bundler', 'node16', 'node10'].map((resolution) => ({
    name: `types-${resolution}`,
    lane: 'package',
    limit: 60,
    count: check,
    ...tsc(`__test__/types/tsconfig.${resolution}.json`),
  })),
  // The binding has no Rust tests of its own: its tests are those of JavaScript.
  {
    name: 'cargo-core',
    lane: 'rust',
    limit: 600,
    count: cargo,
    ...cargoWith('test', '--locked', core),
  },
  // The binding changes nothing in the test programs.
  ...[
    ['clippy', clippy(isLong ? '--all-targets' : '--lib')],
    ['clippy-core', clippy('--all-targets', core)],
  ].map(([name, command]) => ({
    name,
    lane: 'rust',
    limit: 360,
    count: check,
    needs: { tool: 'clippy', command: 'cargo', args: ['clippy', '--version'] },
    ...command,
  })),
  // The documentation of the crate: a dead link is an error.
  {
    name: 'rustdoc',
    lane: 'rust',
    limit: 360,
    count: check,
    ...cargoWith('rustdoc', '--locked', '--lib', core, '--', '-D', 'warnings'),
  },
  vitest('vitest', '--pool=forks'),
  // A few specs once more where files share one process and each has its own environment.
  vitest(
    'vitest-threads',
    '--pool=threads',
    '__test__/append',
    '__test__/read',
    '__test__/exports',
  ),
  jest(),
  // The same on every platform, see scripts/platforms/run.sh.
  {
    name: 'behaviour',
    lane: 'package',
    limit: 120,
    count: lines,
    ...script('__test__/platforms/behaviour.cjs'),
  },
  {
    name: 'pack',
    lane: 'package',
    limit: 120,
    count: lines,
    ...script('scripts/release/pack-test.mjs'),
  },
  {
    name: 'release',
    lane: 'package',
    limit: 120,
    count: lines,
    ...script('scripts/release/release-test.mjs'),
  },
  {
    name: 'bench',
    lane: 'package',
    limit: 150,
    count: lines,
    ...script('scripts/test/bench-test.mjs'),
  },
  {
    name: 'shuttle',
    lane: 'rust',
    onRequest: true,
    limit: 400,
    count: cargo,
    ...cargoWith('test', '--locked', '--manifest-path', 'shuttle/Cargo.toml'),
  },
  // Beside the version before this one, which is built from the history first.
  {
    name: 'previous',
    lane: 'package',
    onRequest: true,
    limit: 600,
    count: lines,
    ...script('scripts/prove/previous-test.mjs'),
  },
  {
    name: 'example',
    lane: 'package',
    limit: 180,
    count: lines,
    ...script('scripts/test/example-test.mjs'),
  },
];

/**
 * The suites of the given names. A prefix selects all its suites: `clippy` is clippy and
 * clippy-core.
 */
export function chosen(names) {
  const matches = (suite, name) => suite.name === name || suite.name.startsWith(`${name}-`);
  const unknown = names.filter((name) => !suites.some((suite) => matches(suite, name)));
  const picked =
    names.length === 0
      ? suites.filter((suite) => !suite.onRequest)
      : suites.filter((suite) => names.some((name) => matches(suite, name)));
  return { unknown, picked };
}
