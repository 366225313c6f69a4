// node scripts/release/build-target.mjs TARGET FOLDER: builds the addon of one platform for a
// release and puts it into FOLDER. TARGET is one of package.json's napi.targets. Linux needs
// cargo-zigbuild and zig, on whatever system it is built.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { glibcFloor, unfit } from './binaries.mjs';
import { root } from '../test/setup.mjs';
import { addonOf, targetOf } from './targets.mjs';

const [rust, folder] = process.argv.slice(2);
if (!rust || !folder) {
  console.error('usage: node scripts/release/build-target.mjs TARGET FOLDER');
  process.exit(2);
}
const target = targetOf(rust);

// Static on Windows, where the C library of Visual Studio may be missing; never on musl, whose
// static programs load no addon.
const flags = {
  win32: '-C target-feature=+crt-static',
  linux: target.libc === 'musl' ? '-C target-feature=-crt-static' : '',
  darwin: '',
}[target.os];
const cargoTarget = target.libc === 'glibc' ? `${rust}.${glibcFloor}` : rust;
const command = target.os === 'linux' ? 'zigbuild' : 'build';
const env = { ...process.env };
if (flags) {
  env[`CARGO_TARGET_${rust.toUpperCase().replaceAll('-', '_')}_RUSTFLAGS`] = flags;
}

const args = [command, '--release', '--locked', '--lib', '--target', cargoTarget];
const build = spawnSync('cargo', args, { cwd: root, env, stdio: 'inherit' });
if (build.error) throw build.error;
if (build.status !== 0) process.exit(build.status ?? 1);

const library = {
  linux: 'libsage_chronicle.so',
  darwin: 'libsage_chronicle.dylib',
  win32: 'sage_chronicle.dll',
}[target.os];
const built = join(process.env.CARGO_TARGET_DIR || join(root, 'target'), rust, 'release', library);
const reason = unfit(readFileSync(built), target);
if (reason) {
  console.error(`build-target: ${built} ${reason}`);
  process.exit(1);
}
const addon = join(resolve(folder), addonOf(target));
mkdirSync(resolve(folder), { recursive: true });
copyFileSync(built, addon);
console.log(addon);
