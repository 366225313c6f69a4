// What a report has to say of where it was made.
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { versionOf } from './setup.mjs';

const fileSystems = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlayfs',
};

/**
 * Whether this process, and with it every contestant, runs before processes of ordinary
 * priority.
 */
function isRealTime() {
  if (!existsSync('/proc/self/stat')) return false;
  // Behind the name, which may hold spaces. The 41st field is the policy; 1 and 2 are those of
  // real time.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').pop().split(' ');
  return ['1', '2'].includes(fields[38]);
}

export function machine(folder, peers) {
  const type = statfsSync(folder).type;
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: `${cpus().length} x ${cpus()[0]?.model.trim()}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: `${process.platform} ${release()}`,
    fileSystem: fileSystems[type] ?? `0x${type.toString(16)}`,
    node: process.version,
    realTime: isRealTime(),
    load: loadavg()[0],
    peers: Object.fromEntries(peers.map((name) => [name, versionOf(name)])),
  };
}

export function sentence({ processor, memory, kernel, fileSystem, node, realTime, load }) {
  const parts = [processor, memory, kernel, fileSystem, `Node.js ${node}`];
  if (realTime) parts.push('at real-time priority');
  // What others do meanwhile is the first thing to know of a figure.
  if (load !== undefined) parts.push(`load ${load.toFixed(1)} before it began`);
  return parts.join(', ');
}
