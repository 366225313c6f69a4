// Makes a clone ready: checks the tools, installs what package-lock.json names, builds the addon.
// Each step runs only when what it depends on has changed, and no committed file is touched.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contentHash, readStamp, writeStamp } from './stamp.mjs';
import { missingTools, outputOf } from './tools.mjs';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Ignored by git: stamps, logs, and what the build writes before it is taken over. */
export const setupFolder = join(root, '.setup');
/**
 * The folder in which `napi build` writes binding.js and binding.d.ts, for a comparison with the
 * committed ones.
 */
export const buildFolder = join(setupFolder, 'addon');

class SetupError extends Error {}

function run(what, command, args) {
  console.log(`setup: ${what}`);
  const started = Date.now();
  // npm is a script of the shell's on Windows; none of these arguments needs quoting.
  const shell = process.platform === 'win32';
  const child = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell });
  if (child.error) throw new SetupError(`cannot run ${command}: ${child.error.message}`);
  if (child.status !== 0) {
    throw new SetupError(`${command} ${args.join(' ')} ended with ${child.status ?? child.signal}`);
  }
  console.log(`setup: done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

function install() {
  const stamp = contentHash(root, ['package-lock.json']);
  const installed = existsSync(join(root, 'node_modules', '.package-lock.json'));
  if (installed && readStamp(setupFolder, 'install.stamp') === stamp) return;
  run('installing the development dependencies', 'npm', [
    'ci',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]);
  writeStamp(setupFolder, 'install.stamp', stamp);
}

/** Everything the addon and its generated loader are made from. */
function sourcesHash() {
  const { name, version, napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const compiler = outputOf('rustc', ['--version']);
  const extra = JSON.stringify([name, version, napi, compiler, process.platform, process.arch]);
  return contentHash(root, ['Cargo.toml', 'Cargo.lock', 'build.rs', '.cargo', 'src'], extra);
}

const addons = (folder) =>
  existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.node')) : [];

function build() {
  const sources = sourcesHash();
  const stampOf = (names) => `${sources}\n${contentHash(root, names)}\n`;
  const built = addons(buildFolder);
  if (
    built.length > 0 &&
    built.every((name) => existsSync(join(root, name))) &&
    readStamp(setupFolder, 'build.stamp') === stampOf(built)
  ) {
    return;
  }
  rmSync(buildFolder, { recursive: true, force: true });
  mkdirSync(buildFolder, { recursive: true });
  run('building the addon (a minute or two the first time)', 'npx', [
    'napi',
    'build',
    '--platform',
    '--release',
    '--js',
    'binding.js',
    '--dts',
    'binding.d.ts',
    '--output-dir',
    '.setup/addon',
    '--',
    '--locked',
  ]);
  const fresh = addons(buildFolder);
  if (fresh.length === 0) throw new SetupError('napi build wrote no .node file');
  for (const name of fresh) {
    // By rename: a running process may have the old addon mapped, which writing into it would
    // break.
    const next = join(setupFolder, `${name}.next`);
    copyFileSync(join(buildFolder, name), next);
    renameSync(next, join(root, name));
  }
  writeStamp(setupFolder, 'build.stamp', stampOf(fresh));
}

/** Names of the generated files that differ from the committed ones. */
export function staleBindings() {
  const text = (folder, name) =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : null;
  return ['binding.js', 'binding.d.ts'].filter(
    (name) => text(root, name) !== text(buildFolder, name),
  );
}

/** Whether the clone is ready; when it is not, says why on stderr. */
export function setup() {
  const missing = missingTools(root);
  if (missing.length > 0) {
    console.error(`setup: something is missing\n\n${missing.join('\n\n')}\n`);
    return false;
  }
  try {
    install();
    build();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`setup: ${error.message}`);
    return false;
  }
  const stale = staleBindings();
  if (stale.length > 0) {
    console.error(
      `setup: ${stale.join(' and ')} no longer match the Rust sources: npm run build writes them anew`,
    );
  }
  return true;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = setup() ? 0 : 1;
}
