// A device that fails and heals, under a mounted file system.
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cutPower, imageOf, mount } from './disk.mjs';
import { Program } from './program.mjs';
import { later, run, scratch } from './suite.mjs';

let devices = 0;

/** A file system on a device whose writes fail while `fail()` holds. */
export function failingDisk(kind, ...mkfsOptions) {
  const plugin = (image, trigger) => [
    '--filter=error',
    'file',
    image,
    'error-pwrite=EIO',
    'error-pwrite-rate=100%',
    `error-file=${trigger}`,
  ];
  return diskOf(plugin, kind, ...mkfsOptions);
}

/** A file system on a device that fails one write after `fail()`, and then works again. */
export function onceFailingDisk(kind, ...mkfsOptions) {
  const block = 'iflag=count_bytes,skip_bytes oflag=seek_bytes bs=64K status=none';
  const plugin = (image, trigger) => [
    'eval',
    `get_size=stat -c %s ${image}`,
    `pread=dd if=${image} skip=$4 count=$3 ${block}`,
    `pwrite=if rm ${trigger} 2>/dev/null; then echo EIO device >&2; exit 1; fi; dd of=${image} seek=$4 conv=notrunc ${block}`,
    'can_write=exit 0',
  ];
  return diskOf(plugin, kind, ...mkfsOptions);
}

async function diskOf(plugin, kind, ...mkfsOptions) {
  const name = `device${(devices += 1)}`;
  const image = imageOf(kind, `${name}.img`, undefined, ...mkfsOptions);
  const device = scratch(`${name}.dev`);
  const trigger = scratch(`${name}.fails`);
  writeFileSync(device, '');
  const server = ['nbdkit', '--exit-with-parent', ...plugin(image, trigger)];
  const fuse = new Program('nbdfuse', [device, '[', ...server, ']'], 'ignore');
  later(() => run('umount', '-l', device));
  await fuse.until(() => statSync(device).size > 0);
  const live = mount(device, '-o', 'loop');
  return {
    image,
    point: live.point,
    unmount: live.unmount,
    fail: () => writeFileSync(trigger, ''),
    heal: () => rmSync(trigger, { force: true }),
    hasFailed: () => !existsSync(trigger),
  };
}

/** Where the file is after a power cut. */
export function afterCut(disk, programs, name) {
  const copy = cutPower(disk.image);
  return Promise.all(programs.map((program) => program.kill())).then(() => {
    disk.unmount();
    return join(mount(copy, '-o', 'loop').point, name);
  });
}
