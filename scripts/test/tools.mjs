// The programs that building and testing need: what was found, what is wanted, how to get it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const windows = process.platform === 'win32';

/** Runs a program and returns its output, or null where it is missing or fails. */
export function outputOf(command, args) {
  const run = spawnSync(command, args, { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : null;
}

/** The first dotted number of a text as an array, or null. */
export function versionIn(text) {
  const match = /(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(text || '');
  return match && match.slice(1).map((part) => Number(part || 0));
}

/** Whether version `found` is at least `wanted`; both as versionIn returns them. */
export function atLeast(found, wanted) {
  for (let place = 0; place < 3; place += 1) {
    if (found[place] !== wanted[place]) return found[place] > wanted[place];
  }
  return true;
}

/** rustup writes PATH into the profile, which a shell opened before has not read. */
function findCargo() {
  if (outputOf('cargo', ['--version']) !== null) return;
  const folder = join(process.env.CARGO_HOME || join(homedir(), '.cargo'), 'bin');
  if (!existsSync(join(folder, windows ? 'cargo.exe' : 'cargo'))) return;
  process.env.PATH = `${folder}${delimiter}${process.env.PATH || ''}`;
}

function node(root) {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const wanted = versionIn(engines && engines.node) || [20, 0, 0];
  return {
    tool: 'node',
    found: process.versions.node,
    wanted: `${wanted.join('.')} or later`,
    good: atLeast(versionIn(process.versions.node), wanted),
    get: 'https://nodejs.org/en/download',
  };
}

function cargo(root) {
  findCargo();
  const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8');
  const wanted = versionIn(/^rust-version\s*=\s*"([^"]+)"/m.exec(manifest)[1]);
  const output = outputOf('cargo', ['--version']);
  const found = versionIn(output);
  return {
    tool: 'cargo',
    found: output || 'nothing',
    wanted: `${wanted.join('.')} or later`,
    good: found !== null && atLeast(found, wanted),
    get: found
      ? 'rustup update stable (without rustup: https://rustup.rs)'
      : 'https://rustup.rs, then open a new shell',
  };
}

/**
 * Links an empty program: a compiler without the C library's start files would pass a check of its
 * version.
 */
function linker() {
  const folder = mkdtempSync(join(tmpdir(), 'chronicle-linker-'));
  try {
    const source = join(folder, 'empty.c');
    writeFileSync(source, 'int main(void) { return 0; }\n');
    const run = spawnSync('cc', ['-o', join(folder, 'empty'), source], { encoding: 'utf8' });
    const missing = run.error && run.error.code === 'ENOENT';
    return {
      tool: 'C linker (cc)',
      found: missing ? 'nothing' : run.status === 0 ? 'cc' : `cc that fails: ${run.stderr.trim()}`,
      wanted: 'a cc that links an empty program',
      good: run.status === 0,
      get:
        process.platform === 'darwin'
          ? 'xcode-select --install'
          : 'Debian and Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc; Alpine: apk add gcc musl-dev',
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What is missing or too old, one text per tool; empty when all is there. */
export function missingTools(root) {
  // On Windows the Rust installer itself asks for the linker, which is not called cc.
  const checks = [node(root), cargo(root), ...(windows ? [] : [linker()])];
  return checks
    .filter((check) => !check.good)
    .map(
      ({ tool, found, wanted, get }) =>
        `${tool}: found ${found}\n  wanted: ${wanted}\n  how to get it: ${get}`,
    );
}
