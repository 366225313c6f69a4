// node scripts/prove/mutate.mjs [--rust] [--list] [name ...]: breaks the code on purpose, one place
// at a time, and requires that a test fails.
//
// All mutations of scripts/prove/mutations.mjs are compiled into one copy of the tree, each behind
// a switch, so one build serves them all. Each run of a test turns one mutation on. Without a
// mutation, every named test must pass. `--rust` leaves out mutations that only tests of JavaScript
// notice, which need a second build. CARGO names another cargo. The last line is the total; the
// exit code is 1 if a mutation survived.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  statSync,
  chmodSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { runCommand } from '../test/command.mjs';
import { mutations } from './mutations.mjs';
import { root, setupFolder } from '../test/setup.mjs';

const folder = join(setupFolder, 'mutate');
const tree = join(folder, 'tree');
const variable = 'CHRONICLE_MUTATION';
const cargo = process.env.CARGO ?? 'cargo';
const environment = {
  ...process.env,
  // What the tests built before serves here, too: the dependencies are the same.
  CARGO_TARGET_DIR: process.env.CARGO_TARGET_DIR ?? join(root, 'target'),
  CARGO_TERM_COLOR: 'never',
  NO_COLOR: '1',
  PROPTEST_CASES: '16',
  CHRONICLE_LONG: '1',
};
delete environment[variable];
delete environment.FORCE_COLOR;

const switches = `
/// Which mutation is on.
mod mutation {
    pub(crate) fn is(name: &str) -> bool {
        static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        ON.get_or_init(|| std::env::var("${variable}").ok()).as_deref() == Some(name)
    }
}
`;

class Refusal extends Error {}

/** The edits of a mutation: places in a file, each with its switch. */
function editsOf({ name, file, find, replace, edits = [[find, replace]] }, text) {
  const condition = `crate::mutation::is(${JSON.stringify(name)})`;
  return edits.map(([wanted, instead]) => {
    const at = text.indexOf(wanted);
    if (at < 0 || text.indexOf(wanted, at + 1) >= 0) {
      throw new Refusal(`${name}: what it replaces must stand exactly once in ${file}`);
    }
    // A replacement that names the switch itself is taken as it is; else it is a statement, or an
    // expression.
    let written = instead.replaceAll('MUTATED', condition);
    if (!instead.includes('MUTATED')) {
      const choice = `if ${condition} { ${instead} } else { ${wanted} }`;
      written = /[;}]$/.test(wanted) ? choice : `(${choice})`;
    }
    return { name, start: at, end: at + wanted.length, written };
  });
}

/** A source with all of its mutations, each behind its switch. */
function mutated(file, text) {
  const edits = mutations
    .filter((mutation) => mutation.file === file)
    .flatMap((mutation) => editsOf(mutation, text))
    .sort((left, right) => left.start - right.start);
  let out = '';
  let at = 0;
  for (const { name, start, end, written } of edits) {
    if (start < at) throw new Refusal(`${name}: it overlaps another mutation of ${file}`);
    out += text.slice(at, start) + written;
    at = end;
  }
  return out + text.slice(at);
}

/** Writes the copy; a file that is as it was keeps its time, so that builds stay incremental. */
function writeTree() {
  const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], { cwd: root });
  if (listed.status !== 0) throw new Refusal('git cannot list the files of the tree');
  const files = listed.stdout.toString('utf8').split('\0').filter(Boolean);
  for (const { file } of mutations) {
    if (!files.includes(file)) throw new Refusal(`${file} is not in the tree`);
  }
  for (const file of files) {
    const from = join(root, file);
    if (!existsSync(from)) continue;
    let bytes = readFileSync(from);
    if (file.startsWith('src/')) bytes = Buffer.from(mutated(file, bytes.toString('utf8')));
    if (file === 'src/lib.rs') bytes = Buffer.concat([bytes, Buffer.from(switches)]);
    const to = join(tree, file);
    if (existsSync(to) && readFileSync(to).equals(bytes)) continue;
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, bytes);
    chmodSync(to, statSync(from).mode);
  }
  const modules = join(tree, 'node_modules');
  if (!existsSync(modules)) symlinkSync(join(root, 'node_modules'), modules);
}

async function build(what, command, args) {
  const log = join(folder, 'logs', `build-${what}.log`);
  const started = Date.now();
  const outcome = await runCommand({
    command,
    args,
    cwd: tree,
    env: environment,
    limitSeconds: 1500,
    log,
  });
  if (outcome.code !== 0) {
    // The messages for people; the others are long.
    console.log(outcome.output.replace(/^\{.*$/gm, '').trim());
    throw new Refusal(`the mutated ${what} cannot be built`);
  }
  console.log(`built the ${what} in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  return outcome.output;
}

const isRust = (test) => !test.startsWith('__test__/');

/** Builds what the tests need and returns how each of them is run. */
async function prepare(tests) {
  const programs = new Map();
  if (tests.some(isRust)) {
    const targets = new Set(
      tests
        .filter(isRust)
        .map((test) => test.split('::')[0])
        .flatMap((file) =>
          file.startsWith('src/') ? '--lib' : `--test=${file.slice(6, -'.rs'.length)}`,
        ),
    );
    const output = await build('core', cargo, [
      'test',
      '--locked',
      '--no-default-features',
      '--no-run',
      '--message-format=json-render-diagnostics',
      ...targets,
    ]);
    for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
      const { reason, executable, target } = JSON.parse(line);
      if (reason !== 'compiler-artifact' || !executable) continue;
      programs.set(target.kind.includes('test') ? `tests/${target.name}.rs` : 'lib', executable);
    }
  }
  if (!tests.every(isRust)) {
    await build('addon', 'npx', [
      'napi',
      'build',
      '--platform',
      '--js',
      'binding.js',
      '--dts',
      'binding.d.ts',
    ]);
  }
  return (test) => {
    const [file, name] = test.split('::');
    if (!isRust(test)) {
      const only = name ? ['-t', name] : [];
      const vitest = join(tree, 'node_modules/vitest/vitest.mjs');
      return { command: process.execPath, args: [vitest, 'run', '--bail=1', file, ...only] };
    }
    if (file.startsWith('src/')) {
      const module = file.slice(4, -'.rs'.length).replaceAll('/', '::');
      return { command: programs.get('lib'), args: [name ?? `${module}::tests`] };
    }
    return { command: programs.get(file), args: name ? [name] : [] };
  };
}

/** How a run of a test ended, under the mutation of that name. */
async function run(command, test, mutation, limitSeconds) {
  const label = `${mutation ?? 'none'}--${test}`.replace(/[^\w.-]+/g, '-');
  const started = Date.now();
  const outcome = await runCommand({
    ...command(test),
    cwd: tree,
    env: mutation ? { ...environment, [variable]: mutation } : environment,
    limitSeconds,
    log: join(folder, 'logs', `${label}.log`),
  });
  const ran = isRust(test)
    ? /^running [1-9]/m.test(outcome.output)
    : /Tests .*[1-9]\d* (passed|failed)/.test(outcome.output);
  const seconds = (Date.now() - started) / 1000;
  const red = /^test (\S+) \.\.\. FAILED|^\s*(?:×|FAIL\s+\S+ >) (.+?)(?: \d+ms)?$/m.exec(
    outcome.output,
  );
  const by = outcome.timedOut ? 'it hangs' : (red?.[1] ?? red?.[2] ?? `exit code ${outcome.code}`);
  return { green: outcome.code === 0 && ran, ran, seconds, by, output: outcome.output };
}

async function main(args) {
  const names = args.filter((arg) => !arg.startsWith('--'));
  const flags = args.filter((arg) => arg.startsWith('--'));
  const known = ['--rust', '--list'];
  const strangers = [
    ...flags.filter((flag) => !known.includes(flag)),
    ...names.filter((name) => !mutations.some((mutation) => mutation.name === name)),
  ];
  if (strangers.length > 0) throw new Refusal(`unknown: ${strangers.join(', ')}`);
  let chosen = mutations.filter(({ name }) => names.length === 0 || names.includes(name));
  if (flags.includes('--rust')) chosen = chosen.filter(({ tests }) => tests.every(isRust));
  if (flags.includes('--list')) {
    for (const file of new Set(chosen.map((mutation) => mutation.file))) {
      mutated(file, readFileSync(join(root, file), 'utf8'));
    }
    for (const { name, file, tests } of chosen) console.log(`${name} | ${file} | ${tests}`);
    return true;
  }
  rmSync(join(folder, 'logs'), { recursive: true, force: true });
  writeTree();
  const tests = [...new Set(chosen.flatMap((mutation) => mutation.tests))];
  const command = await prepare(tests);
  const limits = new Map();
  for (const test of tests) {
    const { green, ran, seconds, output } = await run(command, test, null, 600);
    if (!green) {
      console.log(output);
      throw new Refusal(`without a mutation ${test} ${ran ? 'is not green' : 'runs nothing'}`);
    }
    limits.set(test, Math.max(6, Math.min(seconds * 8, 10 + seconds * 2)));
  }
  console.log(`${tests.length} tests are green without a mutation`);
  const survivors = [];
  for (const { name, tests: mine } of chosen) {
    let caught = null;
    for (const test of mine) {
      const outcome = await run(command, test, name, limits.get(test));
      if (!outcome.green) {
        caught = `${test.split('::')[0]}: ${outcome.by} (${outcome.seconds.toFixed(1)} s)`;
        break;
      }
    }
    if (!caught) survivors.push(name);
    console.log(`${caught ? 'caught  ' : 'SURVIVED'} | ${name} | ${caught ?? mine.join(', ')}`);
  }
  console.log(`${chosen.length - survivors.length} caught, ${survivors.length} survived`);
  return survivors.length === 0;
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  console.error(`mutate: ${error.message}`);
  process.exitCode = 2;
}
