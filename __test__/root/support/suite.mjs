// What the suites that need root have in common: tests as lines, and a machine left as it was
// found.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const undo = [];
let folder;

/** Remembers how to take something back; the last is taken back first, however the suite ends. */
export function later(step) {
  undo.push(step);
}

function cleanUp() {
  for (let step = undo.pop(); step; step = undo.pop()) {
    try {
      step();
    } catch (error) {
      process.stderr.write(`clean-up: ${error.message}\n`);
    }
  }
}

export function run(command, ...args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

export function scratch(name) {
  folder ??= mkdtempSync(join(tmpdir(), 'chronicle-root-'));
  return join(folder, name);
}

export function assert(holds, message) {
  if (!holds) throw new Error(message);
}

/** An error where two lists or values differ in JSON. */
export function assertEqual(found, wanted, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  assert(a === b, `${what}: found ${a.slice(0, 600)}, wanted ${b.slice(0, 600)}`);
}

/** Runs `tests`, pairs of a sentence and a function, and ends the process. */
export async function suite(name, tools, tests) {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  const missing = missingFor(tools);
  if (missing) {
    console.log(`SKIPPED ${name}: ${missing} not found`);
    skipped = 1;
  } else {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.once(signal, () => {
        cleanUp();
        process.exit(1);
      });
    }
    for (const [sentence, test] of tests) {
      try {
        await test();
        passed += 1;
        console.log(`ok - ${sentence}`);
      } catch (error) {
        failed += 1;
        console.log(`not ok - ${sentence}`);
        console.log(`  ${String(error.stack).replaceAll('\n', '\n  ')}`);
      }
      cleanUp();
    }
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exit(failed > 0 ? 1 : 0);
}

function missingFor(tools) {
  if (process.getuid?.() !== 0) return 'root';
  if (spawnSync('losetup', ['-f']).status !== 0) return 'loop device';
  return tools.find((tool) => spawnSync('which', [tool]).status !== 0);
}
