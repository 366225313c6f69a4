// File systems in files, mounted for a test.
import { mkdirSync } from 'node:fs';
import { later, run, scratch } from './suite.mjs';

let mounts = 0;

export function makeImage(name, megabytes, ...mkfsOptions) {
  const image = scratch(name);
  run('truncate', '-s', `${megabytes}M`, image);
  run('mkfs.ext4', '-q', '-F', ...mkfsOptions, image);
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

/** What the device holds at this moment, as after a power cut: nothing that only the cache knows. */
export function cutPower(image) {
  const copy = `${image}.cut`;
  run('cp', '--sparse=always', image, copy);
  later(() => run('rm', '-f', copy));
  return copy;
}
