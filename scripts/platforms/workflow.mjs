// node scripts/platforms/workflow.mjs WORKFLOW JOB...: runs the commands of jobs as far as this
// machine can replace GitHub Actions. Each job gets a fresh clone, the matrix values that fit this
// machine, and a folder for artifacts. Only actions that move artifacts do something: the clone and
// Node.js exist already. For platforms that cannot be built here, headers of their binaries are
// used. All files are below .setup/workflow.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { parse } from 'yaml';
import { finish, holds } from '../test/report.mjs';
import { root, setupFolder } from '../test/setup.mjs';
import { stub } from '../release/stubs.mjs';
import { addonOf, hostTarget, targets } from '../release/targets.mjs';

const [workflowName, ...jobNames] = process.argv.slice(2);
const work = join(setupFolder, 'workflow');
const artifacts = join(work, 'artifacts');
const host = hostTarget();
const workflow = parse(
  readFileSync(join(root, '.github', 'workflows', `${workflowName}.yml`), 'utf8'),
);

/** The matrix values of a job that fit this machine and this Node.js; null if none fit. */
function valuesHere({ strategy }) {
  const { include, exclude: _, ...axes } = strategy?.matrix ?? {};
  const fits = (name, value) => {
    if (name === 'target') return value === host.rust;
    if (name === 'platform') return value.name === host.name;
    if (name === 'node') return true;
    return false;
  };
  if (include) return include.find(({ target }) => fits('target', target)) ?? null;
  const values = {};
  for (const [name, all] of Object.entries(axes)) {
    values[name] = all.find((value) => fits(name, value));
    if (values[name] === undefined) return null;
  }
  return values;
}

function filled(text, context) {
  return String(text).replace(/\$\{\{\s*([\w.]+)\s*\}\}/g, (_, path) => {
    const value = path.split('.').reduce((from, key) => from?.[key], context);
    if (value === undefined) throw new Error(`nothing is known of ${path}`);
    return String(value);
  });
}

/** Of a condition only what our own steps ask: the name of the system. */
function isWanted(condition) {
  if (condition === undefined) return true;
  const [, operator, system] = /^runner\.os (==|!=) '(\w+)'$/.exec(condition) ?? [];
  if (!system) throw new Error(`a condition that is not understood: ${condition}`);
  const here = { linux: 'Linux', darwin: 'macOS', win32: 'Windows' }[process.platform];
  return (operator === '==') === (here === system);
}

/** What the actions for artifacts do, with a folder of the name. */
function moveArtifacts(clone, action, given) {
  if (action === 'upload-artifact') {
    const from = join(clone, given.path.replace(/\/\*\.node$/, ''));
    cpSync(from, join(artifacts, given.name), { recursive: true });
  }
  if (action === 'download-artifact') {
    const to = join(clone, given.path);
    const names = given.name ? [given.name] : readdirSync(artifacts);
    for (const name of names.filter((name) => given.name || /^addon-/.test(name))) {
      cpSync(join(artifacts, name), given.name ? to : join(to, name), { recursive: true });
    }
  }
}

async function runJob(name) {
  const job = workflow.jobs[name];
  if (!job) throw new Error(`no such job: ${name}; there are ${Object.keys(workflow.jobs)}`);
  const matrix = valuesHere(job);
  if (!matrix) {
    console.log(`  ${name}: nothing of it is for this machine`);
    return;
  }
  const clone = join(work, name);
  rmSync(clone, { recursive: true, force: true });
  const copy = spawnSync('git', ['clone', '--quiet', root, clone], { encoding: 'utf8' });
  if (copy.status !== 0) throw new Error(copy.stderr);
  // What `cache` and the machine's own Rust save there: the builds of other jobs.
  const env = { ...process.env, CARGO_TARGET_DIR: join(root, 'target') };
  const context = { matrix, github: { workspace: clone } };
  const pathFile = join(clone, '.git', 'github-path');

  for (const step of job.steps) {
    if (!isWanted(step.if)) continue;
    const given = Object.fromEntries(
      Object.entries(step.with ?? {}).map(([key, value]) => [key, filled(value, context)]),
    );
    if (step.uses) {
      moveArtifacts(clone, /^actions\/([\w-]+)@/.exec(step.uses)[1], given);
      continue;
    }
    const command = filled(step.run, context);
    await holds(`${workflowName} ${name}: ${command.trim().replace(/\s+/g, ' ')}`, () => {
      const added = existsSync(pathFile) ? readFileSync(pathFile, 'utf8').trim().split('\n') : [];
      const own = Object.entries(step.env ?? {}).map(([key, value]) => [
        key,
        filled(value, context),
      ]);
      const child = spawnSync('bash', ['-eo', 'pipefail', '-c', command], {
        cwd: clone,
        encoding: 'utf8',
        env: {
          ...env,
          ...Object.fromEntries(own),
          PATH: [...added, process.env.PATH].join(delimiter),
          GITHUB_PATH: pathFile,
          GITHUB_SERVER_URL: 'https://example.invalid',
          GITHUB_REPOSITORY: 'owner/repository',
        },
        maxBuffer: 1 << 28,
      });
      const said = `${child.stdout}\n${child.stderr}`;
      appendFileSync(join(work, 'log'), `$ ${command}\n${said}\n`);
      if (child.status !== 0) throw new Error(`ended with ${child.status}\n${said.slice(-4000)}`);
    });
  }
}

/** In the place of what the other machines would have uploaded. */
function standIns() {
  for (const target of targets().filter(({ name }) => name !== host.name)) {
    const folder = join(artifacts, `addon-${target.rust}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, addonOf(target)), stub(target));
  }
}

rmSync(artifacts, { recursive: true, force: true });
mkdirSync(artifacts, { recursive: true });
standIns();
for (const name of jobNames) await runJob(name);
finish();
