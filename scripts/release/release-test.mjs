// A release as its users meet it: the staged tarballs, and what npm installs of them from a
// registry that has them.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
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
import { contentHash } from '../test/stamp.mjs';
import { startRegistry } from './registry.mjs';
import { ReleaseError, pack } from './release.mjs';
import { finish, holds } from '../test/report.mjs';
import { root } from '../test/setup.mjs';
import { stub } from './stubs.mjs';
import { filesIn, manifestIn } from './tarball.mjs';
import { addonOf, hostTarget, targets } from './targets.mjs';

const windows = process.platform === 'win32';
const folder = mkdtempSync(join(tmpdir(), 'chronicle-release-'));
const [artifacts, out, project] = ['artifacts', 'out', 'project'].map((name) => join(folder, name));
const host = hostTarget();
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const hostPackage = `${name}-${host.name}`;

const staged = (options = {}) => pack({ artifacts, out, rehearsal: true, ...options });

/** What a release is refused for. */
function refusal(options) {
  try {
    staged({ out: join(folder, 'refused'), ...options });
  } catch (error) {
    assert.ok(error instanceof ReleaseError, String(error.stack));
    return error.message;
  }
  return assert.fail('it was not refused');
}

/** Runs without blocking this process, which is the registry. */
function run(command, args, { cwd = project, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: windows && command === 'npm',
      timeout: 120_000,
    });
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr']) {
      child[stream].setEncoding('utf8').on('data', (text) => (output[stream] += text));
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...output }));
  });
}

async function install(registry, ...args) {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project);
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'user', version: '1.0.0', private: true }),
  );
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', ...args];
  const cache = join(folder, 'cache');
  const where = [`--registry=${registry.url}`, `--cache=${cache}`];
  const child = await run('npm', ['install', ...options, ...where, name]);
  assert.equal(child.code, 0, child.stderr);
}

const installed = () => readdirSync(join(project, 'node_modules/@sage')).sort();
const manifestOf = (packageName) => join(project, 'node_modules', packageName, 'package.json');

const append = `
  const { append, readChronicle } = require('@sage/chronicle');
  const event = { type: 'BUILD', timestamp: 't', actor: { agent: 'a', id: 'b' }, status: 'success' };
  append('log.sage', event)
    .then(() => append('log.sage', event))
    .then((again) => readChronicle('log.sage').then((all) => console.log(again.duplicate, all.length)));`;
const use = () => run(process.execPath, ['-e', append]);
/** What loading the package throws, as { code, message }. */
async function loadError() {
  const script = `
    try { require('@sage/chronicle'); } catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;
  return JSON.parse((await run(process.execPath, ['-e', script])).stdout);
}

let registry;
try {
  mkdirSync(artifacts);
  for (const target of targets()) {
    const path = join(artifacts, addonOf(target));
    if (target.name === host.name) copyFileSync(join(root, addonOf(target)), path);
    else writeFileSync(path, stub(target));
  }
  const sources = () => contentHash(root, ['package.json', 'binding.js', 'lib', 'README.md']);
  const before = sources();
  let tarballs = [];

  await holds('a release stages and packs each platform, and the package last', () => {
    tarballs = staged();
    const packed = tarballs.map((path) => manifestIn(path).name);
    assert.deepEqual(packed, [...targets().map((target) => `${name}-${target.name}`), name]);
    assert.equal(sources(), before);
  });
  await holds('the package has no addon, no scripts, and an exact version of each platform', () => {
    const main = tarballs.at(-1);
    const manifest = manifestIn(main);
    assert.deepEqual(
      [...filesIn(main).keys()].filter((file) => file.endsWith('.node')),
      [],
    );
    assert.deepEqual(
      manifest.optionalDependencies,
      Object.fromEntries(targets().map((target) => [`${name}-${target.name}`, version])),
    );
    assert.equal(manifest.scripts ?? manifest.devDependencies, undefined);
  });
  await holds('the package has every other file that the tarball of a clone has', () => {
    const child = spawnSync('npm', ['pack', '--dry-run', '--json', '--silent'], {
      cwd: root,
      encoding: 'utf8',
      shell: windows,
    });
    const [{ files }] = JSON.parse(child.stdout);
    const wanted = files.map(({ path }) => path).filter((path) => !path.endsWith('.node'));
    assert.deepEqual([...filesIn(tarballs.at(-1)).keys()].sort(), wanted.sort());
  });
  await holds('the package of a platform has its addon, and says where it fits', () => {
    const fits = tarballs.slice(0, -1).map((path) => {
      const { os, cpu, libc, main, version: own } = manifestIn(path);
      assert.deepEqual(
        [...filesIn(path).keys()].sort(),
        ['LICENSE', 'README.md', main, 'package.json'].sort(),
      );
      assert.equal(own, version);
      return [main, ...os, ...cpu, ...(libc ?? [])].join(' ');
    });
    assert.deepEqual(fits, [
      'chronicle.linux-x64-gnu.node linux x64 glibc',
      'chronicle.linux-arm64-gnu.node linux arm64 glibc',
      'chronicle.linux-x64-musl.node linux x64 musl',
      'chronicle.linux-arm64-musl.node linux arm64 musl',
      'chronicle.darwin-x64.node darwin x64',
      'chronicle.darwin-arm64.node darwin arm64',
      'chronicle.win32-x64-msvc.node win32 x64',
      'chronicle.win32-arm64-msvc.node win32 arm64',
    ]);
  });
  await holds(
    'a release is refused while an addon is missing, and all that are missing are named',
    () => {
      const empty = join(folder, 'empty');
      mkdirSync(empty);
      for (const target of targets())
        assert.match(refusal({ artifacts: empty }), new RegExp(`${addonOf(target)} is missing`));
    },
  );
  await holds(
    'a release is refused with the addon of another platform or with a newer glibc',
    () => {
      const wrong = join(folder, 'wrong');
      mkdirSync(wrong);
      const [x64, arm64, musl] = ['linux-x64-gnu', 'linux-arm64-gnu', 'linux-x64-musl'].map(
        (wanted) => targets().find((target) => target.name === wanted),
      );
      writeFileSync(join(wrong, addonOf(arm64)), stub(x64));
      writeFileSync(
        join(wrong, addonOf(x64)),
        Buffer.concat([stub(x64), Buffer.from('GLIBC_2.28\0')]),
      );
      writeFileSync(join(wrong, addonOf(musl)), stub(x64));
      const refused = (target) =>
        refusal({ artifacts: wrong, only: [target.name], rehearsal: false });
      assert.match(refused(arm64), /is for linux x64, not for linux arm64/);
      assert.match(refused(x64), /asks for glibc 2\.28, newer than 2\.17/);
      assert.match(refused(musl), /asks for glibc 2\.17/);
      assert.match(
        refusal({ only: ['linux-x86-gnu'] }),
        /no such platform: linux-x86-gnu; there are linux-x64-gnu/,
      );
    },
  );

  registry = await startRegistry(tarballs);
  await holds(
    'npm installs the package and of the platforms the one that fits, with scripts disabled',
    async () => {
      await install(registry);
      assert.deepEqual(installed(), ['chronicle', `chronicle-${host.name}`]);
      assert.ok(!existsSync(join(project, 'node_modules', name, addonOf(host))));
      assert.deepEqual(await use(), { code: 0, stdout: 'true 1\n', stderr: '' });
      assert.deepEqual(registry.asked, []);
    },
  );
  await holds('the lock file that npm writes here lists every platform', () => {
    const { packages } = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8'));
    for (const target of targets()) {
      const entry = packages[`node_modules/${name}-${target.name}`];
      assert.deepEqual(
        [entry?.os, entry?.cpu, entry?.libc],
        [[target.os], [target.cpu], target.libc && [target.libc]],
      );
    }
  });
  await holds('an addon of another version is refused, with a code and both versions', async () => {
    const path = manifestOf(hostPackage);
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...manifest, version: '0.0.9' }));
    const { code, message } = await loadError();
    assert.equal(code, 'ERR_CHRONICLE_VERSION');
    assert.match(
      message,
      new RegExp(`${name} ${version} needs ${hostPackage} of the same version, and found 0.0.9`),
    );
    writeFileSync(path, JSON.stringify(manifest));
    assert.equal((await use()).code, 0);
  });
  await holds('without the package of the platform the error has a code and names it', async () => {
    await install(registry, '--omit=optional');
    assert.deepEqual(installed(), ['chronicle']);
    const { code, message } = await loadError();
    assert.equal(code, 'ERR_CHRONICLE_BINDING');
    assert.ok(message.includes(`comes with the package ${hostPackage}\n`), message);
  });
  await holds(
    'a rehearsal of publishing begins with the platforms and ends with the package',
    async () => {
      const vacant = await startRegistry([]);
      const release = (...args) =>
        run(
          process.execPath,
          [join(root, 'scripts/release/release.mjs'), '--artifacts', artifacts, ...args],
          {
            env: { npm_config_registry: vacant.url },
          },
        );
      const only = ['--rehearsal', '--only', host.name, '--out', join(folder, 'published')];
      const rehearsed = await release(...only, '--publish', '--dry-run');
      assert.deepEqual(rehearsed.stdout.trim().split('\n').slice(2), [
        `would publish ${hostPackage}@${version}`,
        `would publish ${name}@${version}`,
      ]);
      const real = await release(...only, '--publish');
      await vacant.close();
      assert.deepEqual(
        [real.code, real.stdout, real.stderr],
        [1, '', 'release: --publish takes no --rehearsal, and needs --repository\n'],
      );
    },
  );
} finally {
  await registry?.close();
  rmSync(folder, { recursive: true, force: true });
}
finish();
