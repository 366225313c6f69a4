// Stands in for addons that this machine cannot build.
import { glibcFloor } from './binaries.mjs';

/**
 * The bare header of a binary of a platform: enough to be staged on a machine that cannot build it.
 */
export function stub({ os, cpu, libc }) {
  const bytes = Buffer.alloc(256);
  const arm = cpu === 'arm64';
  if (os === 'linux') {
    bytes.writeUInt32BE(0x7f454c46, 0);
    bytes.writeUInt16LE(arm ? 0xb7 : 0x3e, 18);
    if (libc === 'glibc') bytes.write(`\0GLIBC_${glibcFloor}\0`, 64);
  } else if (os === 'darwin') {
    bytes.writeUInt32LE(0xfeedfacf, 0);
    bytes.writeUInt32LE(arm ? 0x0100000c : 0x01000007, 4);
  } else {
    bytes.writeUInt16LE(0x5a4d, 0);
    bytes.writeUInt32LE(128, 60);
    bytes.writeUInt16LE(arm ? 0xaa64 : 0x8664, 132);
  }
  return bytes;
}
