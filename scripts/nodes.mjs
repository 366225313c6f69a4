// node scripts/nodes.mjs [--smoke] [VERSION...]: the packed tarball and the specs under other versions of Node.js (20, 22,
// 24 and latest by default), which npm has as packages. They are kept below .setup/nodes. --smoke leaves the specs out.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { finish, holds } from './report.mjs';
import { root, setupFolder } from './setup.mjs';

const programs = join(root, '__test__', 'nodes');
const { values, positionals } = parseArgs({
  options: { smoke: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const versions = positionals.length > 0 ? positionals : ['20', '22', '24', 'latest'];
const windows = process.platform === 'win32';

function run(command, args, cwd, limitSeconds = 60) {
  const shell = windows && command === 'npm';
  const child = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    shell,
    timeout: limitSeconds * 1000,
  });
  if (child.error) throw child.error;
  assert.equal(child.status, 0, `${command} ${args.join(' ')}\n${child.stdout}\n${child.stderr}`);
  return child.stdout;
}

const npmInstall = (prefix, spec, ...options) =>
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...options, spec], prefix);

/** The path of a Node.js, from the package that npm has for this platform. */
function installNode(version) {
  const { platform, arch } = process;
  const name = `node-${windows ? 'win' : platform}-${arch}`;
  const prefix = join(setupFolder, 'nodes', version);
  mkdirSync(prefix, { recursive: true });
  writeFileSync(join(prefix, 'package.json'), '{"private":true}');
  npmInstall(prefix, `${name}@${version}`, '--no-save');
  return join(prefix, 'node_modules', name, 'bin', windows ? 'node.exe' : 'node');
}

/** A project with the tarball and the programs that use it. */
function project(folder) {
  run('npm', ['pack', '--silent', '--pack-destination', folder], root);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  const path = join(folder, 'project');
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), '{"private":true}');
  npmInstall(path, join(folder, tarball), '--offline');
  for (const name of readdirSync(programs)) copyFileSync(join(programs, name), join(path, name));
  return path;
}

/** Whether this Node.js has the syntax at all. */
const parses = (node, syntax) => spawnSync(node, ['--check', '-'], { input: syntax }).status === 0;

async function smoke(node, title, path) {
  const clean = () => {
    for (const name of readdirSync(path)) {
      if (name.endsWith('.sage') || name.startsWith('.')) rmSync(join(path, name));
    }
  };
  const syntaxOf = { 'using.mjs': '{ using x = null; }' };
  for (const name of readdirSync(programs).sort()) {
    if (syntaxOf[name] && !parses(node, syntaxOf[name])) continue;
    await holds(`${title}: ${name}`, () => {
      clean();
      const said = run(node, [name], path);
      assert.equal(said, '');
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
  const path = project(folder);
  for (const version of versions) {
    let node;
    await holds(`Node.js ${version} is installed`, () => {
      node = installNode(version);
    });
    if (!node) continue;
    const title = `Node.js ${run(node, ['--version'], root).trim().slice(1)}`;
    await smoke(node, title, path);
    if (values.smoke) continue;
    await holds(`${title}: the specs`, () => console.log(`  ${specs(node, version)} passed`));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
