// node scripts/platforms/runtimes.mjs [bun] [deno]: the packed tarball under other runtimes than
// Node.js. Their packages on npm have the programs. Installs them and the tarball, scripts
// disabled, into a scratch folder. Then runs each case of __test__/runtimes/cases.mjs in a process
// of its own. Not for Windows, where npm is a shell script.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRegistry } from '../release/registry.mjs';
import { pack } from '../release/release.mjs';
import { addonOf, targets } from '../release/targets.mjs';
import { finish, holds, skip } from '../test/report.mjs';
import { root } from '../test/setup.mjs';
import { outputOf } from '../test/tools.mjs';

/** How each runtime is installed and runs a program. */
const runtimes = {
  bun: { source: 'bun@1.4.5', run: [] },
  deno: { source: 'deno@2.9.6', run: ['run', '--allow-all'] },
};

const named = process.argv.slice(2);
const unknown = named.filter((name) => !(name in runtimes));
if (unknown.length > 0) {
  console.error(
    `unknown runtime: ${unknown.join(', ')}; known: ${Object.keys(runtimes).join(' ')}`,
  );
  process.exit(2);
}

const scratch = mkdtempSync(join(tmpdir(), 'chronicle-runtimes-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
const project = join(scratch, 'project');
const temporary = join(scratch, 'tmp');
mkdirSync(project);
mkdirSync(temporary);
writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}\n');
cpSync(join(root, '__test__', 'runtimes'), project, { recursive: true });

// What a killed process leaves behind is below the scratch folder.
const environment = {
  ...process.env,
  TMPDIR: temporary,
  NO_COLOR: '1',
  DENO_NO_UPDATE_CHECK: '1',
  // A cache by name and version would have the package as it was packed another time.
  DENO_DIR: join(scratch, 'deno-cache'),
  BUN_INSTALL_CACHE_DIR: join(scratch, 'bun-cache'),
};

/** Does not block: this process may be the registry. */
async function attempt(command, args, cwd = project) {
  const options = { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 };
  const child = spawn(command, args, { ...options, killSignal: 'SIGKILL' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  }
  const [code, signal] = await once(child, 'close');
  return { code: code ?? signal, output };
}

async function run(command, args, cwd) {
  const { code, output } = await attempt(command, args, cwd);
  assert.equal(code, 0, `${command} ${args.join(' ')}\n${output}`);
  return output;
}

const npm = (...args) => [
  'npm',
  ['install', '--no-audit', '--no-fund', '--prefer-offline', ...args],
];

/** The program of a runtime in a folder of its own, or null where it cannot be installed. */
async function install(name) {
  const folder = join(scratch, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"private":true}\n');
  const { code } = await attempt(...npm(runtimes[name].source), folder);
  if (code !== 0) return null;
  const program = join(folder, 'node_modules', '.bin', name);
  return outputOf(program, ['--version']) === null ? null : program;
}

const { name: packageName, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const [scope] = packageName.split('/');
const registry = await startRegistry(
  pack({
    artifacts: root,
    out: join(scratch, 'release'),
    only: targets()
      .filter((target) => existsSync(join(root, addonOf(target))))
      .map((target) => target.name),
    rehearsal: true,
  }),
);
const tarball = join(
  scratch,
  outputOf('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', scratch, root]) ??
    'missing',
);
await holds('the packed package is installed', async () => {
  await run(...npm('--ignore-scripts', tarball));
});
const listed = await run(process.execPath, ['cases.mjs', '--list']);
const cases = listed.trim().split('\n');

/** A project that has the package from the registry of this script. */
function consumer(name) {
  const folder = join(scratch, name);
  mkdirSync(folder);
  cpSync(join(project, 'consumer.mjs'), join(folder, 'consumer.mjs'));
  writeFileSync(join(folder, '.npmrc'), `${scope}:registry=${registry.url}\n`);
  const dependencies = { [packageName]: version };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies }));
  return folder;
}

/** What only Bun has: its package manager, its test runner, and programs in one file. */
async function onlyBun(bun) {
  const folder = consumer('bun-consumer');
  await holds('bun install takes the addon of the platform', async () => {
    await run(bun, ['install'], folder);
    assert.match(await run(bun, ['consumer.mjs'], folder), /record 1/);
  });
  await holds('bun test takes the matchers', async () => {
    const output = await run(bun, ['test', './bun-matchers.test.mjs']);
    assert.match(output, /1 pass\b[\s\S]*0 fail\b/);
  });
  await holds('bun build --compile takes the addon into the program', async () => {
    await run(bun, ['build', '--compile', 'consumer.mjs', '--outfile', 'consumer'], project);
    const elsewhere = mkdtempSync(join(scratch, 'elsewhere-'));
    cpSync(join(project, 'consumer'), join(elsewhere, 'consumer'));
    const installed = join(project, 'node_modules');
    renameSync(installed, `${installed}-away`);
    try {
      assert.match(await run(join(elsewhere, 'consumer'), [], elsewhere), /record 1/);
    } finally {
      renameSync(`${installed}-away`, installed);
    }
  });
}

/** What only Deno has: its package manager, and permissions. */
async function onlyDeno(deno) {
  const folder = consumer('deno-consumer');
  await holds('deno install takes the addon of the platform', async () => {
    await run(deno, ['install'], folder);
    assert.match(await run(deno, ['run', '--allow-all', 'consumer.mjs'], folder), /record 1/);
  });
  await holds('deno test runs with the double, and checks the types', async () => {
    const name = 'deno-double.test.ts';
    cpSync(join(project, name), join(folder, name));
    const output = await run(deno, ['test', '--allow-all', name], folder);
    assert.match(output, /1 passed \| 0 failed/);
  });
  await holds('deno needs the permissions env, read and ffi', async () => {
    const program = (...rights) =>
      attempt(deno, ['run', '--no-prompt', '--allow-write', ...rights, 'consumer.mjs']);
    const rights = ['--allow-env', '--allow-read', '--allow-ffi'];
    assert.equal((await program(...rights)).code, 0);
    for (const right of rights) {
      const { code, output } = await program(...rights.filter((other) => other !== right));
      assert.notEqual(code, 0, right);
      assert.ok(output.includes(right), output);
    }
  });
}

for (const [name, { run: words }] of Object.entries(runtimes)) {
  if (named.length > 0 && !named.includes(name)) continue;
  const program = await install(name);
  if (program === null) {
    skip(`runtimes: ${name} not found`);
    continue;
  }
  const [first] = (await run(program, ['--version'])).trim().split('\n');
  console.log(`== ${name} ${first.replace(/^\D+/, '')}`);
  for (const title of cases) {
    await holds(`${name}: ${title}`, async () => {
      assert.match(await run(program, [...words, 'cases.mjs', title]), /^done: /m);
    });
  }
  await holds(`${name}: the command`, async () => {
    const command = join(project, 'node_modules', packageName, 'bin', 'chronicle.js');
    const log = join(temporary, `${name}.sage`);
    const event =
      '{"type":"NOTE","timestamp":"2026-01-02T03:04:05Z","actor":{"agent":"a","id":"1"}}';
    await run(program, [...words, command, 'append', log, event]);
    assert.equal((await run(program, [...words, command, 'read', log])).split('\n').length, 2);
  });
  await (name === 'bun' ? onlyBun : onlyDeno)(program);
}
await registry.close();
finish();
