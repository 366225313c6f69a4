// The packed previous version and the packed build of today, in processes side by side on one log.
// Each accepts the records, locks, indexes and cursors of the other. Both are installed as by
// users.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Member } from '../../__test__/previous/member.mjs';
import { tests } from '../../__test__/previous/tests.mjs';
import { NoHistory, previous } from './previous.mjs';
import { finish, holds, skip } from '../test/report.mjs';
import { root } from '../test/setup.mjs';

function run(command, args, cwd) {
  const shell = process.platform === 'win32';
  const child = spawnSync(command, args, { cwd, encoding: 'utf8', shell, timeout: 120_000 });
  assert.equal(child.status, 0, `${command} ${args.join(' ')}\n${child.stdout}\n${child.stderr}`);
}

/** The tarball of this clone, installed. */
function current(folder) {
  const project = join(folder, 'current');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private":true}\n');
  run('npm', ['pack', '--silent', '--pack-destination', project], root);
  const tarball = readdirSync(project).find((name) => name.endsWith('.tgz'));
  const options = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  run('npm', ['install', ...options, `./${tarball}`], project);
  return join(project, 'node_modules', '@sage', 'chronicle');
}

function earlier() {
  try {
    return previous();
  } catch (error) {
    if (!(error instanceof NoHistory)) throw error;
    skip(`previous: ${error.message}`);
    return undefined;
  }
}

async function runAll(before) {
  const folder = mkdtempSync(join(tmpdir(), 'chronicle-previous-'));
  try {
    const packages = { old: before.package, new: current(folder) };
    let count = 0;
    for (const [name, test] of tests) {
      const scratch = join(folder, String((count += 1)));
      mkdirSync(scratch);
      const start = (which) => Member.start(packages[which]);
      await holds(name, () => test({ path: join(scratch, 'log.sage'), start, before }));
      await Member.endAll();
    }
  } finally {
    await Member.endAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

const before = earlier();
if (before) await runAll(before);
finish();
