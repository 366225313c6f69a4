// node scripts/release/tarballs.mjs [DIR]: what publint and attw say of the tarballs, which must be
// nothing. Of those that a release left in DIR; without it, of the tarball of this clone and of a
// rehearsed release of this platform.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { pack } from './release.mjs';
import { finish, holds } from '../test/report.mjs';
import { root, setupFolder } from '../test/setup.mjs';
import { manifestIn } from './tarball.mjs';
import { hostTarget } from './targets.mjs';

const windows = process.platform === 'win32';
const tools = join(setupFolder, 'tarballs');

function run(command, args, cwd = root) {
  const shell = windows && command === 'npm';
  const child = spawnSync(command, args, { cwd, encoding: 'utf8', shell, timeout: 120_000 });
  if (child.error) throw child.error;
  const said = `${child.stdout}\n${child.stderr}`;
  assert.equal(child.status, 0, `${command} ${args.join(' ')}\n${said}`);
  return said;
}

/** The versions that the lock file beside the tests names. */
function installTools() {
  mkdirSync(tools, { recursive: true });
  for (const name of ['package.json', 'package-lock.json']) {
    copyFileSync(join(root, '__test__', 'tarballs', name), join(tools, name));
  }
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], tools);
}

const tool = (path, ...args) =>
  run(process.execPath, [join(tools, 'node_modules', path), ...args.filter(Boolean)]);

const tarballsIn = (folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.tgz'))
    .map((name) => join(folder, name));

function freshTarballs(folder) {
  const plain = join(folder, 'plain');
  mkdirSync(plain);
  run('npm', ['pack', '--silent', '--pack-destination', plain]);
  const only = [hostTarget().name];
  return [...tarballsIn(plain), ...pack({ out: join(folder, 'staged'), only, rehearsal: true })];
}

const folder = mkdtempSync(join(tmpdir(), 'chronicle-tarballs-'));
try {
  let tarballs = [];
  await holds('the tarballs are there', () => {
    const [given] = process.argv.slice(2);
    tarballs = given ? tarballsIn(resolve(given)) : freshTarballs(folder);
    assert.ok(tarballs.length > 0);
  });
  await holds('the checkers are installed', installTools);
  for (const path of tarballs) {
    const { name, optionalDependencies, types } = manifestIn(path);
    const kind = optionalDependencies ? ', staged' : types ? ', of a clone' : '';
    const title = `${basename(path)} of ${name}${kind}`;
    await holds(`publint has nothing to say of ${title}`, () => {
      assert.match(tool('publint/src/cli.js', 'run', '--strict', path), /All good!/);
    });
    // The package of a platform has no types: only the main package's code loads it.
    if (!types) continue;
    await holds(`attw has nothing to say of ${title}`, () => {
      const said = tool('@arethetypeswrong/cli/dist/index.js', '--no-color', path);
      assert.match(said, /No problems found/);
    });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
