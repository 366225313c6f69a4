// node scripts/platforms/consumers.mjs [--staged [--artifacts DIR]] [--table] [project ...]
//
// Tests the projects of __test__/consumers one after the other, each in a scratch folder of its
// own. Installs the packages of the project's lock file and the packed package, scripts disabled.
// Then runs the project's test. With --staged the package comes from a registry on this machine, as
// in a release: the addon is in the package of the platform. The registry has packages for all
// platforms whose addons are in DIR (default: the clone). --table also prints the outcomes as rows
// for docs/tools.md. Not for Windows, where npm is a shell script.
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand } from '../test/command.mjs';
import { startRegistry } from '../release/registry.mjs';
import { pack } from '../release/release.mjs';
import { finish, holds, skip } from '../test/report.mjs';
import { root, setupFolder } from '../test/setup.mjs';
import { addonOf, targets } from '../release/targets.mjs';
import { outputOf } from '../test/tools.mjs';

const consumers = join(root, '__test__', 'consumers');
const entries = readdirSync(consumers, { withFileTypes: true });
const projects = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);

const { values: given, positionals: named } = parseArgs({
  allowPositionals: true,
  options: {
    staged: { type: 'boolean' },
    artifacts: { type: 'string', default: root },
    table: { type: 'boolean' },
  },
});
const unknown = named.filter((name) => !projects.includes(name));
if (unknown.length > 0) {
  console.error(`unknown project: ${unknown.join(', ')}\nthe projects are: ${projects.join(' ')}`);
  process.exit(2);
}

const scratch = mkdtempSync(join(tmpdir(), 'chronicle-consumers-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const { name: packageName, version } = manifestIn(root);

function manifestIn(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

/** What a project is installed by: the words of its command line, and how it takes a package. */
function packageManager(project) {
  const { packageManager: wanted = 'npm' } = manifestIn(join(consumers, project));
  const [name, wantedVersion] = wanted.split('@');
  if (name === 'npm') {
    return {
      name,
      version: outputOf('npm', ['--version']),
      command: ['npm'],
      add: ['install', '--ignore-scripts'],
    };
  }
  const add = name === 'pnpm' ? ['add', '--ignore-workspace-root-check'] : ['add'];
  // From its second version on yarn is published by another name.
  const source =
    wanted.startsWith('yarn@1.') || name === 'pnpm' ? wanted : `@yarnpkg/cli-dist@${wantedVersion}`;
  return {
    name,
    version: wantedVersion,
    command: ['npx', '--yes', `--package=${source}`, name],
    add,
  };
}

const environment = {
  ...process.env,
  NO_COLOR: '1',
  // In CI yarn refuses what changes the lock file, as adding the tarball does.
  YARN_ENABLE_IMMUTABLE_INSTALLS: '0',
  YARN_ENABLE_TELEMETRY: '0',
  // What they keep by name, version or address would be the package as it was packed another time.
  XDG_CACHE_HOME: join(scratch, 'cache'),
  YARN_GLOBAL_FOLDER: join(scratch, 'yarn'),
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_update_notifier: 'false',
  npm_config_prefer_offline: String(!given.staged),
};
delete environment.FORCE_COLOR;

async function run(project, [command, ...args], limitSeconds = 300) {
  const log = join(setupFolder, 'logs', `consumer-${project}.log`);
  const outcome = await runCommand({
    command,
    args,
    cwd: join(scratch, project),
    env: environment,
    limitSeconds,
    log,
  });
  const ending = outcome.timedOut
    ? `took more than ${limitSeconds} s`
    : `ended with ${outcome.code}`;
  assert.equal(outcome.code, 0, `${command} ${args.join(' ')} ${ending}\n${outcome.output}`);
  return outcome.output;
}

/**
 * The files of this repository in a monorepo that has the package as a member, with the sources of
 * the addon.
 */
function copyMember(folder) {
  const manifest = manifestIn(root);
  const { '@napi-rs/cli': builder } = manifest.devDependencies;
  const sources = ['src', 'Cargo.toml', 'Cargo.lock', 'build.rs'];
  mkdirSync(folder, { recursive: true });
  for (const name of [...sources, ...manifest.files.filter((name) => !name.includes('*'))]) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ ...manifest, devDependencies: { '@napi-rs/cli': builder } }, null, 2),
  );
}

/** The tarball of this clone, unpacked as a member of a workspace. */
async function unpack(project, folder) {
  mkdirSync(folder, { recursive: true });
  const here = join(root, 'scripts', 'release', 'here.mjs');
  const printed = await run(project, [process.execPath, here, folder]);
  const tarball = join(folder, printed.trim().split('\n').at(-1));
  await run(project, ['tar', '-xzf', tarball, '--strip-components=1', '-C', folder]);
  rmSync(tarball);
}

/** Points every package manager to the registry with the staged packages. */
function useRegistry(folder, address) {
  const [scope] = packageName.split('/');
  appendFileSync(join(folder, '.npmrc'), `${scope}:registry=${address}\n`);
  // Yarn would not take a version of today.
  const lines = [
    'unsafeHttpWhitelist: [127.0.0.1]',
    'npmScopes:',
    `  ${scope.slice(1)}:`,
    `    npmRegistryServer: ${address}`,
    '    npmMinimalAgeGate: 0',
  ];
  appendFileSync(join(folder, '.yarnrc.yml'), lines.map((line) => `${line}\n`).join(''));
}

/**
 * The common part of all projects, as both kinds of modules: a bundle of one kind must not contain
 * the other.
 */
function copyUse(folder) {
  const types = readFileSync(join(consumers, 'use.d.cts'), 'utf8');
  const common = readFileSync(join(consumers, 'use.cjs'), 'utf8');
  const ecma = common
    .replace("'use strict';\n", '')
    .replace(/^const (\{.*\}) = require\((.*)\);$/gm, 'import $1 from $2;')
    .replace(/^exports\.(\w+) = /m, 'export const $1 = ');
  for (const [name, text] of [
    ['use.cjs', common],
    ['use.d.cts', types],
    ['use.mjs', ecma],
    ['use.d.mts', types],
  ]) {
    writeFileSync(join(folder, name), text);
  }
}

/** Installs a project and runs its test, which says each time that it used the package. */
async function runProject(project, source, registry) {
  const folder = join(scratch, project);
  cpSync(join(consumers, project), folder, { recursive: true });
  copyUse(folder);
  if (project === 'express') cpSync(join(root, 'examples', 'recipes'), folder, { recursive: true });
  const { command, add } = packageManager(project);
  if (registry) useRegistry(folder, registry.url);
  if (project === 'workspace') {
    copyMember(join(folder, 'packages', 'chronicle'));
    environment.CARGO_TARGET_DIR ??= join(root, 'target');
    await run(project, [...command, 'install', '--no-frozen-lockfile', '--ignore-scripts']);
    await run(project, [...command, '--filter', packageName, 'run', 'build:addon']);
  } else if (project === 'member') {
    const member = join(folder, 'packages', 'chronicle');
    await unpack(project, member);
    await run(project, [...command, 'install', '--frozen-lockfile', '--ignore-scripts']);
    const tools = readdirSync(join(folder, 'node_modules', '.pnpm'), { withFileTypes: true });
    const names = tools.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    // pnpm keeps its own links in that folder; no package came with the member.
    assert.deepEqual(
      names.filter((name) => name !== 'node_modules'),
      [],
    );
    assert.ok(!existsSync(join(member, 'node_modules')));
  } else if (project === 'override') {
    cpSync(source, join(folder, 'vendor', basename(source)));
    await run(project, [...command, 'install', '--no-frozen-lockfile', '--ignore-scripts']);
  } else {
    await run(project, [...command, ...add, source]);
  }
  const output = await run(project, [...command, 'test']);
  const { uses } = manifestIn(folder).config;
  const used = output.split('chronicle: appended, read, followed, refused').length - 1;
  assert.equal(used, uses, `the package was used ${used} times, not ${uses}\n${output}`);
}

/** The version of the tool that a project is about. */
function versionOf(project) {
  try {
    return manifestIn(join(scratch, project, 'node_modules', project)).version;
  } catch {
    return packageManager(project).version;
  }
}

const rows = [];
await holds('no lock file names where a package comes from', () => {
  for (const project of projects) {
    const names = readdirSync(join(consumers, project));
    const locks = names.filter((name) =>
      /^(package-lock\.json|pnpm-lock\.yaml|yarn\.lock)$/.test(name),
    );
    assert.equal(locks.length, 1, `${project} has ${locks.length} lock files`);
    const text = readFileSync(join(consumers, project, locks[0]), 'utf8');
    assert.doesNotMatch(text, /resolved\W+https?:|tarball:|registry\./, `${project}/${locks[0]}`);
  }
});
let source;
let registry;
await holds('the package is packed', async () => {
  if (given.staged) {
    const { artifacts } = given;
    const there = targets().filter((target) => existsSync(join(artifacts, addonOf(target))));
    const only = there.map(({ name }) => name);
    registry = await startRegistry(
      pack({ artifacts, out: join(scratch, 'release'), only, rehearsal: true }),
    );
    source = `${packageName}@${version}`;
  } else {
    const packed = outputOf('npm', ['pack', '--silent', '--pack-destination', scratch, root]);
    assert.ok(packed, 'npm pack failed');
    source = join(scratch, packed);
  }
});
for (const project of source ? projects : []) {
  if (named.length > 0 && !named.includes(project)) continue;
  // One builds the addon itself, the others are about the tarball.
  if (given.staged && ['workspace', 'member', 'override'].includes(project)) continue;
  const manager = packageManager(project);
  const [command, ...args] = manager.command;
  if (outputOf(command, [...args, '--version']) === null) {
    skip(`consumers: ${manager.name} not found`);
    continue;
  }
  const started = Date.now();
  let result = 'failed';
  await holds(project, async () => {
    await runProject(project, source, registry);
    result = 'passed';
  });
  const seconds = Math.round((Date.now() - started) / 1000);
  const date = new Date().toISOString().slice(0, 10);
  const packed = given.staged ? 'staged' : 'tarball';
  const how = project === 'workspace' ? 'sources' : packed;
  rows.push([
    project,
    versionOf(project),
    `${manager.name} ${manager.version}`,
    how,
    `${result}, ${seconds} s`,
    date,
  ]);
  rmSync(join(scratch, project), { recursive: true, force: true });
}
await registry?.close();
if (given.table) for (const row of rows) console.log(`| ${row.join(' | ')} |`);
finish();
