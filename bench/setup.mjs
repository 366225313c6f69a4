// Makes the contestants ready: installs the peers, compiles the programs. A missing one is named
// and left out.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const built = join(here, '.built');
const { devDependencies } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
const windows = process.platform === 'win32';

function run(command, args, options = {}) {
  const child = spawnSync(command, args, {
    cwd: here,
    encoding: 'utf8',
    shell: windows,
    ...options,
  });
  return {
    good: child.status === 0,
    output: child.error?.message ?? `${child.stdout}${child.stderr}`,
  };
}

/** Whether the content behind `stamp` is what it was when this was done last. */
function done(stamp, content) {
  const file = join(built, stamp);
  const hash = createHash('sha256').update(content).digest('hex');
  return {
    before: existsSync(file) && readFileSync(file, 'utf8') === hash,
    now: () => writeFileSync(file, hash),
  };
}

/**
 * A module that has to be compiled needs the headers of Node.js. Most installations have them
 * beside the program.
 */
function npmEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h'));
  return headers && !process.env.npm_config_nodedir
    ? { ...process.env, npm_config_nodedir: prefix }
    : process.env;
}

/**
 * Not `npm ci`: that refuses a lock file when a registry lacks packages of platforms other than
 * this one.
 */
const install = ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];

const loads = (name) =>
  run(process.execPath, ['-e', `require(${JSON.stringify(name)})`], { shell: false });

/** The peers that can be loaded, and why each other cannot. */
export function peers(say) {
  mkdirSync(built, { recursive: true });
  const stamp = done('peers', readFileSync(join(here, 'package-lock.json')) + process.version);
  const env = npmEnvironment();
  if (!stamp.before || !existsSync(join(here, 'node_modules'))) {
    say('installing the peers (some are compiled: a minute or two)');
    const installed = run('npm', install, { env });
    if (installed.good) {
      stamp.now();
    } else {
      // One that cannot be compiled must not keep the others away.
      run('npm', [...install, '--ignore-scripts'], { env });
      for (const name of Object.keys(devDependencies)) run('npm', ['rebuild', name], { env });
    }
  }
  const missing = {};
  for (const name of Object.keys(devDependencies)) {
    const { good, output } = loads(name);
    if (!good) missing[name] = output.split('\n').find((line) => /Error/.test(line)) ?? 'not found';
  }
  return { there: Object.keys(devDependencies).filter((name) => !(name in missing)), missing };
}

/** The version of a peer, for the report. */
export function versionOf(name) {
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    let folder = dirname(entry);
    while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
}

/** The paths of the compiled programs; undefined where no C compiler is found. */
export function cPrograms() {
  mkdirSync(built, { recursive: true });
  const folder = join(here, 'c');
  const sources = readdirSync(folder).filter((name) => name.endsWith('.c'));
  const paths = Object.fromEntries(
    sources.map((name) => [name.slice(0, -2), join(built, name.slice(0, -2))]),
  );
  const content = readdirSync(folder).map((name) => readFileSync(join(folder, name)));
  const stamp = done('c', content.join('\0'));
  if (stamp.before && Object.values(paths).every(existsSync)) return paths;
  if (process.platform !== 'linux' || !run('cc', ['--version'], { shell: false }).good)
    return undefined;
  for (const [name, path] of Object.entries(paths)) {
    const flags = ['-O2', '-Wall', '-Wextra', '-pthread', '-o', path];
    const { good, output } = run('cc', [...flags, join(folder, `${name}.c`)], { shell: false });
    if (!good) throw new Error(`cc cannot compile ${name}.c\n${output}`);
  }
  stamp.now();
  return paths;
}

/** The path of the program that hashes with the library of the package; undefined without Rust. */
export function hashProgram(say) {
  const path = join(here, 'sha256', 'target', 'release', 'sha256');
  if (!existsSync(path)) say('building bench/sha256');
  const { good, output } = run(
    'cargo',
    [
      'build',
      '--release',
      '--locked',
      '--quiet',
      '--manifest-path',
      'sha256/Cargo.toml',
      '--target-dir',
      'sha256/target',
    ],
    { shell: false },
  );
  if (!good) say(output.trim());
  return good && existsSync(path) ? path : undefined;
}
