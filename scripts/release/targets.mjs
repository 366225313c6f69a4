// The platforms that have a package with the addon: what Rust, npm and the loader call each of
// them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../test/setup.mjs';

const systems = { linux: 'linux', darwin: 'darwin', windows: 'win32' };
const processors = { x86_64: 'x64', aarch64: 'arm64' };
const libraries = { gnu: 'glibc', musl: 'musl' };

/**
 * A target such as `aarch64-unknown-linux-gnu` as { rust, name: 'linux-arm64-gnu', os, cpu, libc }.
 * Only Linux has a `libc`.
 */
export function targetOf(rust) {
  const [processor, , system, abi] = rust.split('-');
  const os = systems[system];
  const cpu = processors[processor];
  const libc = os === 'linux' ? libraries[abi] : undefined;
  if (!os || !cpu || (os === 'linux' && !libc)) throw new Error(`no such platform: ${rust}`);
  return { rust, name: [os, cpu, abi].filter(Boolean).join('-'), os, cpu, libc };
}

/** All of them, in the order of package.json. */
export function targets() {
  const { napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return napi.targets.map(targetOf);
}

/** What the file with the addon of a platform is called. */
export const addonOf = ({ name }) => `chronicle.${name}.node`;

/** The platform that this very Node.js runs on. */
export function hostTarget() {
  const { platform, arch } = process;
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined;
  return targets().find(
    ({ os, cpu, libc }) =>
      os === platform && cpu === arch && (!libc || libc === (glibc ? 'glibc' : 'musl')),
  );
}
