// node scripts/prove/previous.mjs: builds and installs the previous version of the package. No
// registry has it, so it is built from the last commit before the version in package.json was
// raised. The build is kept below .setup/previous and made again only for another commit, compiler
// or platform. The last line is the folder of the installed package.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, setup, setupFolder } from '../test/setup.mjs';
import { readStamp, writeStamp } from '../test/stamp.mjs';
import { outputOf } from '../test/tools.mjs';

const folder = join(setupFolder, 'previous');
/** The sources of that version. */
const source = join(folder, 'source');
/** A project that has its tarball installed. */
const project = join(folder, 'project');
const installed = join(project, 'node_modules', '@sage', 'chronicle');

/** There is no history, or none with an earlier version in it. */
export class NoHistory extends Error {}

const git = (...args) => outputOf('git', ['-C', root, ...args]);

function run(command, args, options = {}) {
  const shell = process.platform === 'win32' && command === 'npm';
  const child = spawnSync(command, args, { encoding: 'utf8', shell, ...options });
  if (child.error) throw child.error;
  if (child.status !== 0) {
    const said = `${child.stdout ?? ''}\n${child.stderr ?? ''}`;
    throw new Error(`${command} ${args.join(' ')} ended with ${child.status}\n${said}`);
  }
  return child.stdout;
}

/** The version that package.json has at a commit. */
function versionAt(commit) {
  const text = git('show', `${commit}:package.json`);
  return text === null ? undefined : JSON.parse(text).version;
}

/** The last commit before the version was raised to that of package.json, and the version there. */
export function commitBefore() {
  const { version: current } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const changes = git('log', '--format=%H', '--', 'package.json');
  if (!changes) throw new NoHistory('git history not found');
  let raised;
  for (const commit of changes.split('\n')) {
    if (versionAt(commit) !== current) break;
    raised = commit;
  }
  const commit = git('rev-parse', '--verify', '--quiet', raised ? `${raised}^` : 'HEAD');
  const version = commit ? versionAt(commit) : undefined;
  if (!version || version === current) throw new NoHistory('git history not found');
  return { commit, version };
}

function unpack(commit) {
  rmSync(source, { recursive: true, force: true });
  mkdirSync(source, { recursive: true });
  const archive = join(folder, 'source.tar');
  run('git', ['-C', root, 'archive', '--output', archive, commit]);
  run('tar', ['-xf', archive, '-C', source]);
  rmSync(archive);
  symlinkSync(join(root, 'node_modules'), join(source, 'node_modules'), 'junction');
}

function build() {
  const napi = join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
  const how = ['--platform', '--release', '--js', 'binding.js', '--dts', 'binding.d.ts'];
  // The library has one file name in both versions: in one folder the one would pass for the other.
  const env = { ...process.env, CARGO_TARGET_DIR: join(folder, 'target') };
  run(process.execPath, [napi, 'build', ...how, '--', '--locked'], { cwd: source, env });
}

function pack() {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project, { recursive: true });
  writeFileSync(join(project, 'package.json'), '{"private":true}\n');
  run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: source });
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz'));
  const options = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  run('npm', ['install', ...options, `./${tarball}`], { cwd: project });
}

/**
 * The version before this one, built and packed: `package` is the installed tarball, `source` the
 * built sources. Throws `NoHistory` where the repository has none.
 */
export function previous() {
  const { commit, version } = commitBefore();
  const compiler = outputOf('rustc', ['--version']);
  const stamp = JSON.stringify([commit, compiler, process.platform, process.arch]);
  const before = { commit, version, source, package: installed };
  const isThere = existsSync(join(installed, 'package.json'));
  if (isThere && readStamp(folder, 'built.stamp') === stamp) return before;
  rmSync(join(folder, 'built.stamp'), { force: true });
  console.log(`building version ${version} of ${commit.slice(0, 12)}: a minute or two`);
  const started = Date.now();
  unpack(commit);
  build();
  pack();
  const packed = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  if (packed.version !== version) throw new Error(`the tarball has version ${packed.version}`);
  writeStamp(folder, 'built.stamp', stamp);
  console.log(`built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  return before;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  if (setup()) {
    console.log(previous().package);
  } else {
    process.exitCode = 1;
  }
}
