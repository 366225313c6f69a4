// node scripts/platforms/nodes.mjs [options] [VERSION...]: the packed tarball and the specs under
// other versions of Node.js (20, 22, 24 and latest by default), which npm has as packages. They are
// kept below .setup/nodes.
//
//   --smoke          without the specs
//   --here           this very Node.js and no other; without the specs
//   --tarballs DIR   installs what a release has left there, from a registry on this machine
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startRegistry } from '../release/registry.mjs';
import { finish, holds } from '../test/report.mjs';
import { root, setupFolder } from '../test/setup.mjs';

const programs = join(root, '__test__', 'nodes');
const { values, positionals } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    here: { type: 'boolean', default: false },
    tarballs: { type: 'string' },
  },
  allowPositionals: true,
});
const versions = positionals.length > 0 ? positionals : ['20', '22', '24', 'latest'];
const windows = process.platform === 'win32';

/** Resolves with the output of a command. Does not block: this process may be the registry. */
async function run(command, args, cwd, env = {}) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: windows && command === 'npm',
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => (output[stream] += text));
  }
  const [code, signal] = await once(child, 'close');
  const { stdout, stderr } = output;
  assert.equal(code ?? signal, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}`);
  return stdout;
}

const npmInstall = (prefix, spec, ...options) =>
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...options, spec], prefix);

/** The path of a Node.js, from the package that npm has for this platform. */
async function installNode(version) {
  const { platform, arch } = process;
  const name = `node-${windows ? 'win' : platform}-${arch}`;
  const prefix = join(setupFolder, 'nodes', version);
  mkdirSync(prefix, { recursive: true });
  writeFileSync(join(prefix, 'package.json'), '{"private":true}');
  await npmInstall(prefix, `${name}@${version}`, '--no-save');
  return join(prefix, 'node_modules', name, 'bin', windows ? 'node.exe' : 'node');
}

/** A project with the package and the programs that use it. */
async function project(folder) {
  const path = join(folder, 'project');
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), '{"private":true}');
  if (values.tarballs) {
    await installRelease(path, tarballsIn(resolve(values.tarballs)));
  } else {
    await run('npm', ['pack', '--silent', '--pack-destination', folder], root);
    await npmInstall(path, tarballsIn(folder)[0], '--offline');
  }
  for (const name of readdirSync(programs)) copyFileSync(join(programs, name), join(path, name));
  return path;
}

function tarballsIn(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  return names.map((name) => join(folder, name));
}

async function installRelease(path, tarballs) {
  const registry = await startRegistry(tarballs);
  try {
    const cache = `--cache=${join(path, '.cache')}`;
    await npmInstall(path, '@sage/chronicle', `--registry=${registry.url}`, cache);
  } finally {
    await registry.close();
  }
}

/** Whether this Node.js has the syntax at all. */
const parses = (node, syntax) => spawnSync(node, ['--check', '-'], { input: syntax }).status === 0;

async function smoke(node, title, path) {
  const clean = () => {
    for (const name of readdirSync(path)) {
      if (/\.sage(\.|$)/.test(name)) rmSync(join(path, name));
    }
  };
  const syntaxOf = { 'using.mjs': '{ using x = null; }' };
  for (const name of readdirSync(programs).sort()) {
    if (syntaxOf[name] && !parses(node, syntaxOf[name])) continue;
    await holds(`${title}: ${name}`, async () => {
      clean();
      assert.equal(await run(node, [name], path), '');
    });
  }
}

/** Runs the specs as `npm test` does and returns how many passed. */
function specs(node, version) {
  const report = join(setupFolder, 'nodes', `${version}.json`);
  rmSync(report, { force: true });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = ['run', '--pool=forks', '--reporter=json', `--outputFile=${report}`];
  const child = spawnSync(node, [vitest, ...args], { cwd: root, encoding: 'utf8' });
  assert.ok(existsSync(report), `${child.stdout}\n${child.stderr}`);
  const { numPassedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const failed = testResults.flatMap((file) => {
    const bad = file.assertionResults.filter(({ status }) => status === 'failed');
    const told = bad.map(({ fullName, failureMessages }) => `${fullName}\n${failureMessages[0]}`);
    return file.status === 'failed' && told.length === 0 ? [`${file.name}\n${file.message}`] : told;
  });
  assert.deepEqual(failed, []);
  assert.equal(child.status, 0, child.stderr);
  return numPassedTests;
}

const folder = mkdtempSync(join(tmpdir(), 'chronicle-nodes-'));
try {
  const path = await project(folder);
  for (const version of values.here ? [process.version] : versions) {
    let node = values.here ? process.execPath : undefined;
    if (!node) {
      await holds(`Node.js ${version} is installed`, async () => {
        node = await installNode(version);
      });
    }
    if (!node) continue;
    const title = `Node.js ${(await run(node, ['--version'], root)).trim().slice(1)}`;
    await smoke(node, title, path);
    if (values.smoke || values.here) continue;
    await holds(`${title}: the specs`, () => console.log(`  ${specs(node, version)} passed`));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
