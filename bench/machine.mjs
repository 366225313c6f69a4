// What a report has to say of where it was made.
import { statfsSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { versionOf } from './setup.mjs';

const fileSystems = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlayfs',
};

export function machine(folder, peers) {
  const type = statfsSync(folder).type;
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `${process.platform} ${release()}`,
    fileSystem: fileSystems[type] ?? `0x${type.toString(16)}`,
    node: process.version,
    peers: Object.fromEntries(peers.map((name) => [name, versionOf(name)])),
  };
}

export const sentence = ({ processor, memory, kernel, fileSystem, node }) =>
  `${processor}, ${memory}, ${kernel}, ${fileSystem}, Node.js ${node}`;
