// `npm run tarball`, or node scripts/release/here.mjs [DIR]: one tarball with the addon of this
// machine, in the root of the clone or in DIR. Prints its name.
//
// Its package.json has neither scripts nor development tools. So the tarball can be unpacked into a
// folder of a workspace: the workspace installs none of the tools, and `pnpm -r build` and `pnpm -r
// test` pass it by. The files are copied first: the package.json of the clone never changes.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { root } from '../test/setup.mjs';

function npm(args, cwd) {
  const child = spawnSync('npm', args, {
    cwd,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.error) throw child.error;
  if (child.status !== 0) throw new Error(`npm ${args.join(' ')} ended with ${child.status}`);
  return child.stdout;
}

const folder = mkdtempSync(join(tmpdir(), 'chronicle-tarball-'));
try {
  const [{ files }] = JSON.parse(npm(['pack', '--dry-run', '--json', '--silent'], root));
  for (const { path } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(root, path), join(folder, path));
  }
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { scripts: _, devDependencies: __, ...rest } = manifest;
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(rest, null, 2)}\n`);
  const out = resolve(process.argv[2] ?? root);
  const name = npm(['pack', '--silent', '--pack-destination', out], folder).trim();
  console.log(name);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
