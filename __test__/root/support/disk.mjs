// File systems in files, mounted for a test.
import { mkdirSync } from 'node:fs';
import { later, run, scratch } from './suite.mjs';

let mounts = 0;

/** How each file system is made, and the least megabytes that it takes. */
const makers = {
  ext4: { megabytes: 64, command: ['mkfs.ext4', '-q', '-F'] },
  xfs: { megabytes: 512, command: ['mkfs.xfs', '-q', '-f'] },
  btrfs: { megabytes: 256, command: ['mkfs.btrfs', '-q', '-f'] },
};

/** The programs that make file systems. */
export const tools = Object.values(makers).map(({ command }) => command[0]);

export function makeImage(name, megabytes, ...mkfsOptions) {
  return imageOf('ext4', name, megabytes, ...mkfsOptions);
}

/** A file system in a file; by default as small as its kind takes. */
export function imageOf(kind, name, megabytes = makers[kind].megabytes, ...mkfsOptions) {
  const image = scratch(name);
  const [mkfs, ...options] = makers[kind].command;
  run('truncate', '-s', `${megabytes}M`, image);
  run(mkfs, ...options, ...mkfsOptions, image);
  later(() => run('rm', '-f', image));
  return image;
}

/** Mounts something on a new folder until the end of the test, or until `unmount` is called. */
export function mount(source, ...options) {
  const point = scratch(`mount${(mounts += 1)}`);
  mkdirSync(point);
  run('mount', ...options, source, point);
  let mounted = true;
  const unmount = () => {
    if (!mounted) return;
    mounted = false;
    run('umount', '-l', point);
  };
  later(unmount);
  return { point, unmount };
}

/**
 * The content of the device at this moment, as after a power cut: without data that is only cached.
 */
export function cutPower(image) {
  const copy = `${image}.cut`;
  run('cp', '--sparse=always', image, copy);
  later(() => run('rm', '-f', copy));
  return copy;
}
