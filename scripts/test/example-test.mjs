// Runs the example on this repository in a folder of its own, then every command that it recommends
// at its end.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finish, holds } from './report.mjs';
import { root } from './setup.mjs';

const folder = mkdtempSync(join(tmpdir(), 'chronicle-example-'));

function run(command, args, options = {}) {
  const child = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 120_000,
    ...options,
  });
  if (child.error) throw child.error;
  assert.equal(child.status, 0, `${child.stdout}\n${child.stderr}`);
  return child.stdout;
}

try {
  let output = '';
  await holds('the example ends without a difference', () => {
    output = run(process.execPath, ['examples/record.mjs', folder]);
    console.log(output.replace(/^/gm, '  '));
    assert.match(output, /^No difference/m);
  });
  const commands = [...output.matchAll(/^ {2}\$ (.+)$/gm)].map(([, command]) => command);
  await holds('it recommends commands', () => assert.ok(commands.length > 0));
  for (const command of commands) {
    await holds(`this command works: ${command.replaceAll(folder, '..')}`, () => {
      assert.notEqual(run(command, [], { shell: true }).trim(), '');
    });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
