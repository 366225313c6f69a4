// What a binary says of itself: the system and processor it is for, and the glibc that it asks for.

/** The oldest glibc that the packages promise to run with: that of 2012. */
export const glibcFloor = '2.17';

const elfMachines = { 0x3e: 'x64', 0xb7: 'arm64' };
const machMachines = { 0x01000007: 'x64', 0x0100000c: 'arm64' };
const peMachines = { 0x8664: 'x64', 0xaa64: 'arm64' };

/** { os, cpu } by the header of the file, undefined where it is none that is known. */
export function kindOf(bytes) {
  if (bytes.length < 64) return undefined;
  if (bytes.readUInt32BE(0) === 0x7f454c46) {
    return { os: 'linux', cpu: elfMachines[bytes.readUInt16LE(18)] };
  }
  if (bytes.readUInt32LE(0) === 0xfeedfacf) {
    return { os: 'darwin', cpu: machMachines[bytes.readUInt32LE(4)] };
  }
  const header = bytes.readUInt32LE(60);
  if (bytes.readUInt16LE(0) !== 0x5a4d || bytes.length < header + 6) return undefined;
  return { os: 'win32', cpu: peMachines[bytes.readUInt16LE(header + 4)] };
}

/** The versions of glibc symbols in a file, highest first. A musl binary has none. */
export function glibcVersions(bytes) {
  const names = bytes.toString('latin1').matchAll(/GLIBC_(\d+(?:\.\d+)+)/g);
  return [...new Set([...names].map(([, version]) => version))].sort(newestFirst);
}

/** Sorts dotted versions by their numbers. */
function newestFirst(left, right) {
  const [a, b] = [left, right].map((version) => version.split('.').map(Number));
  for (let place = 0; place < Math.max(a.length, b.length); place += 1) {
    const difference = (b[place] ?? 0) - (a[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * Why these bytes are not fit to be the addon of a platform, or undefined. `floor`: the newest
 * glibc they may ask for, null for any.
 */
export function unfit(bytes, { os, cpu, libc }, floor = glibcFloor) {
  const kind = kindOf(bytes);
  if (kind?.os !== os || kind.cpu !== cpu) {
    const is = kind ? `for ${kind.os} ${kind.cpu ?? 'on another processor'}` : 'no binary';
    return `is ${is}, not for ${os} ${cpu}`;
  }
  const [newest] = glibcVersions(bytes);
  if (libc === 'glibc' && newest === undefined) return 'is not linked with glibc';
  if (libc !== 'glibc' && newest !== undefined) return `asks for glibc ${newest}`;
  if (newest !== undefined && floor !== null && newestFirst(newest, floor) < 0) {
    return `asks for glibc ${newest}, newer than ${floor}`;
  }
  return undefined;
}
