// The suites of `npm test` in the order they run: cheap ones first, each with its time limit in
// seconds.
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

const core = '--no-default-features';
const clippy = (...features) =>
  cargoWith('clippy', '--locked', '--all-targets', ...features, '--', '-D', 'warnings');

function vitest(name, ...args) {
  const report = join(logFolder, `${name}.json`);
  return {
    name,
    report,
    limit: 360,
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
 * `needs`: a component that may be missing, with the arguments that show it is there. `onRequest`:
 * runs only when it is named.
 */
export const suites = [
  {
    name: 'rustfmt',
    limit: 60,
    count: check,
    needs: { tool: 'rustfmt', command: 'cargo', args: ['fmt', '--version'] },
    ...cargoWith('fmt', '--check'),
  },
  {
    name: 'prettier',
    limit: 60,
    count: check,
    ...script('node_modules/prettier/bin/prettier.cjs', '--check', '--log-level=warn', root),
  },
  { name: 'generated', unequal: staleBindings },
  { name: 'types-lib', limit: 60, count: check, ...tsc('tsconfig.json') },
  ...['bundler', 'node16', 'node10'].map((resolution) => ({
    name: `types-${resolution}`,
    limit: 60,
    count: check,
    ...tsc(`__test__/types/tsconfig.${resolution}.json`),
  })),
  ...[
    ['clippy', clippy()],
    ['clippy-core', clippy(core)],
  ].map(([name, command]) => ({
    name,
    limit: 240,
    count: check,
    needs: { tool: 'clippy', command: 'cargo', args: ['clippy', '--version'] },
    ...command,
  })),
  // The documentation of the crate: a dead link is an error.
  {
    name: 'rustdoc',
    limit: 240,
    count: check,
    ...cargoWith('rustdoc', '--locked', '--lib', core, '--', '-D', 'warnings'),
  },
  // The binding has no Rust tests of its own: its tests are those of JavaScript.
  { name: 'cargo-core', limit: 300, count: cargo, ...cargoWith('test', '--locked', core) },
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
    limit: 120,
    count: lines,
    ...script('__test__/platforms/behaviour.cjs'),
  },
  { name: 'pack', limit: 120, count: lines, ...script('scripts/release/pack-test.mjs') },
  { name: 'release', limit: 120, count: lines, ...script('scripts/release/release-test.mjs') },
  { name: 'bench', limit: 150, count: lines, ...script('scripts/test/bench-test.mjs') },
  {
    name: 'shuttle',
    onRequest: true,
    limit: 400,
    count: cargo,
    ...cargoWith('test', '--locked', '--manifest-path', 'shuttle/Cargo.toml'),
  },
  // Beside the version before this one, which is built from the history first.
  {
    name: 'previous',
    onRequest: true,
    limit: 600,
    count: lines,
    ...script('scripts/prove/previous-test.mjs'),
  },
  { name: 'example', limit: 180, count: lines, ...script('scripts/test/example-test.mjs') },
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
