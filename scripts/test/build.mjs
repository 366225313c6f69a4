// `npm run build`, the name by which a workspace builds all of its members (`pnpm -r build`).
//
// The build of a workspace must not fail on a machine without Rust because of this member. Without
// a compiler the addon that is here is used, or the message says where one comes from. `npm run
// build:addon` is the build that has to succeed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const napi = join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
const args = ['build', '--platform', '--release', '--js', 'binding.js', '--dts', 'binding.d.ts'];

/** What the build needs and does not find. */
function missing() {
  if (spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status !== 0) return 'cargo';
  return existsSync(napi) ? undefined : '@napi-rs/cli';
}

const tool = missing();
if (tool === undefined) {
  const child = spawnSync(process.execPath, [napi, ...args], { cwd: root, stdio: 'inherit' });
  process.exitCode = child.status ?? 1;
} else {
  const addons = readdirSync(root).filter((name) => /^chronicle\..+\.node$/.test(name));
  const next =
    addons.length > 0
      ? `${addons.join(', ')} is used as it is`
      : 'copy chronicle.*.node from a tarball of the package into this folder, or install Rust';
  console.log(`build: ${tool} not found, so the addon is not built; ${next}`);
}
