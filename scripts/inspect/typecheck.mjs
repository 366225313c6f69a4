// node scripts/inspect/typecheck.mjs [CHECKOUT]: seconds of `tsc` for a program of 500 appends, the
// median of some rounds; with another checkout, both in turns.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { root } from '../test/setup.mjs';

const ROUNDS = 7;
const folder = mkdtempSync(join(tmpdir(), 'chronicle-typecheck-'));

/** A project that uses the types of a checkout. */
function project(name, checkout) {
  const place = join(folder, name);
  const link = join(place, 'node_modules', '@sage/chronicle');
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(checkout, link);
  symlinkSync(join(root, 'node_modules', '@types'), join(place, 'node_modules', '@types'));
  const call = (n) =>
    n % 2 === 0
      ? `await append(path, { type: 'BUILD', timestamp, actor, status: 'success', duration: ${n} });`
      : `await append(path, { type: 'STEP_${n}', timestamp, actor, n: ${n}, nested: { a: [${n}] } });`;
  const calls = Array.from({ length: 500 }, (_, n) => call(n));
  writeFileSync(
    join(place, 'agent.ts'),
    `import { append } from '@sage/chronicle';
const [path, timestamp, actor] = ['a.sage', 't', { agent: 'a', id: 'b' }] as const;
${calls.join('\n')}\n`,
  );
  writeFileSync(join(place, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(place, 'tsconfig.json'),
    '{"compilerOptions":{"strict":true,"module":"nodenext","target":"es2022","noEmit":true,"types":["node"]},"include":["agent.ts"]}',
  );
  return place;
}

function seconds(place) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const started = process.hrtime.bigint();
  const child = spawnSync(process.execPath, [tsc, '-p', place], { encoding: 'utf8' });
  if (child.status !== 0) throw new Error(child.stdout + child.stderr);
  return Number(process.hrtime.bigint() - started) / 1e9;
}

try {
  const places = { here: project('here', root) };
  if (process.argv[2]) places.other = project('other', resolve(process.argv[2]));
  const times = Object.fromEntries(Object.keys(places).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, place] of Object.entries(places)) times[name].push(seconds(place));
  }
  for (const [name, list] of Object.entries(times)) {
    list.sort((a, b) => a - b);
    const [least, median, most] = [0, ROUNDS >> 1, ROUNDS - 1].map((n) => list[n].toFixed(2));
    console.log(`${name}: ${median} s (${least} to ${most})`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
