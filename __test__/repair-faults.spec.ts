// Repairs whose system calls fail, or in the middle of which the process is killed: the path names
// the old file or the new one.
import {
  appendFileSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Driven } from './driven';
import { chronicle, note, scratchFolder } from './scratch';
import { mayTrace, straceCommand } from './strace';

const scratch = scratchFolder();
const traceable = mayTrace('system calls of a repair');
const isRoot = process.getuid?.() === 0;

const damaged = Buffer.from('{"a":1}\nno object\n {"b" : 2}\r\n{"torn":');
const mended = Buffer.from('{"a":1}\n {"b" : 2}\r\n');

const linking = 'link,linkat';
const renaming = 'rename,renameat,renameat2';

type Where = 'log' | 'new file' | 'folder';

class Scene {
  // strace compares whole paths.
  readonly folder = realpathSync(scratch.folder());
  readonly path = join(this.folder, 'log.sage');
  readonly driven: Driven;

  constructor(fault: string, where: Where) {
    writeFileSync(this.path, damaged);
    if (isRoot) chownSync(this.path, 1234, 1234);
    const places = {
      log: this.path,
      'new file': join(this.folder, '.log.sage.chronicle-repair'),
      folder: this.folder,
    };
    const only = places[where];
    this.driven = new Driven(straceCommand({ path: this.path, inject: [fault], only }).command);
  }

  get bytes(): Buffer {
    return readFileSync(this.path);
  }

  /** Names beside the log. */
  get beside(): string[] {
    const names = readdirSync(this.folder).sort();
    return names.filter((name) => name !== 'log.sage' && name !== 'log.sage.trace');
  }
}

describe.skipIf(!traceable)('a repair whose system call fails', () => {
  const faults: [string, Where, string][] = [
    ['pread64:error=EIO', 'log', 'EIO'],
    ['openat:error=EACCES', 'new file', 'EACCES'],
    ['write:error=ENOSPC', 'new file', 'ENOSPC'],
    ['fsync:error=EIO', 'new file', 'EIO'],
    ['fchmod:error=EPERM', 'new file', 'EPERM'],
    [`${linking}:error=EMLINK`, 'log', 'EMLINK'],
    ['fsync:error=EIO', 'folder', 'EIO'],
    [`${renaming}:error=EROFS`, 'new file', 'EROFS'],
  ];
  if (isRoot) faults.push(['fchown:error=EPERM', 'new file', 'EPERM']);

  it.each(faults)(
    '%s on the %s: leaves the log as it was and nothing beside it',
    async (...row) => {
      const [fault, where, code] = row;
      const scene = new Scene(fault, where);
      const { error } = await scene.driven.call('repairChronicle', scene.path);
      expect(error).toMatchObject({
        code: 'EIO',
        written: 'no',
        cause: { code },
        path: scene.path,
      });
      expect(scene.bytes.equals(damaged)).toBe(true);
      expect(scene.beside).toEqual([]);
      await scene.driven.end();
      expect(await chronicle.repairChronicle(scene.path)).toMatchObject({ repaired: true });
      expect(scene.bytes.equals(mended)).toBe(true);
    },
  );

  it('without locks it is EUNSUPPORTED', async () => {
    const scene = new Scene('flock:error=EOPNOTSUPP', 'log');
    const { error } = await scene.driven.call('repairChronicle', scene.path);
    expect(error).toMatchObject({ code: 'EUNSUPPORTED', written: 'no' });
    expect(scene.bytes.equals(damaged)).toBe(true);
    expect(scene.beside).toEqual([]);
    await scene.driven.end();
  });

  it('the last sync of the folder: the new file is in place, perhaps not durably', async () => {
    const scene = new Scene('fsync:error=EIO:when=2', 'folder');
    const { error } = await scene.driven.call('repairChronicle', scene.path);
    expect(error).toMatchObject({ code: 'EIO', written: 'unknown', cause: { code: 'EIO' } });
    expect(scene.bytes.equals(mended)).toBe(true);
    expect(scene.beside.map((name) => name.replace(/\d+$/, 'N'))).toEqual([
      'log.sage.backup.N',
      'log.sage.removed.N',
    ]);
    await scene.driven.end();
    expect(await chronicle.repairChronicle(scene.path)).toMatchObject({ repaired: false });
  });
});

describe.skipIf(!traceable)('a file system that lacks what a repair likes to have', () => {
  const exchanging = `${renaming.split(',')[2]}:error=EINVAL`;

  it.each(['EPERM', 'EXDEV', 'EOPNOTSUPP'])(
    'without a backup no second name is needed (%s)',
    async (code) => {
      const scene = new Scene(`${linking}:error=${code}`, 'log');
      const options = { createBackup: false };
      const report = await scene.driven.value('repairChronicle', scene.path, options);
      expect(report.repaired).toBe(true);
      expect(scene.bytes.equals(mended)).toBe(true);
      expect(scene.beside.map((name) => name.replace(/\d+$/, 'N'))).toEqual(['log.sage.removed.N']);
      await scene.driven.end();
    },
  );

  it.each([true, false])(
    'where names cannot be exchanged the new file is renamed over the log (backup: %s)',
    async (createBackup) => {
      const scene = new Scene(exchanging, 'new file');
      const report = await scene.driven.value('repairChronicle', scene.path, { createBackup });
      expect(report.repaired).toBe(true);
      expect(scene.bytes.equals(mended)).toBe(true);
      const left = createBackup
        ? ['log.sage.backup.N', 'log.sage.removed.N']
        : ['log.sage.removed.N'];
      expect(scene.beside.map((name) => name.replace(/\d+$/, 'N'))).toEqual(left);
      await scene.driven.end();
    },
  );
});

describe.skipIf(!traceable)('a line that comes without the lock', () => {
  const late = '{"late":1}\n';

  it('while the new file is synced is in the new file too', async () => {
    const scene = new Scene('fsync:delay_enter=1500000', 'new file');
    const answer = scene.driven.value('repairChronicle', scene.path);
    const written = () => {
      const stat = statSync(join(scene.folder, '.log.sage.chronicle-repair'), {
        throwIfNoEntry: false,
      });
      return stat?.size === mended.length;
    };
    while (!written()) await turn();
    appendFileSync(scene.path, `\n${late}`);
    const result = await answer;
    expect(scene.bytes.toString()).toBe(mended.toString() + late);
    expect(result.warnings).toEqual([]);
    // What was torn has its newline by now.
    const kinds = result.plan.removed.map(({ kind }: { kind: string }) => kind);
    expect(kinds).toEqual(['malformed', 'malformed']);
    await scene.driven.end();
  });

  it.each([true, false])(
    'right before the rename stays in the old file, which is kept, and is reported (backup: %s)',
    async (createBackup) => {
      const scene = new Scene(`${renaming}:delay_enter=1500000`, 'new file');
      const index = join(scene.folder, '.log.sage.chronicle-index');
      writeFileSync(index, '');
      const answer = scene.driven.value('repairChronicle', scene.path, { createBackup });
      // It is removed right before.
      while (existsSync(index)) await turn();
      appendFileSync(scene.path, late);
      const result = await answer;
      expect(scene.bytes.equals(mended)).toBe(true);
      expect(readFileSync(result.backupPath, 'utf8')).toBe(damaged.toString() + late);
      expect(result.warnings).toHaveLength(1);
      expect(result.warnings[0]).toContain(`${late.length} bytes`);
      expect(result.warnings[0]).toContain(result.backupPath);
      await scene.driven.end();
    },
  );
});

describe.skipIf(!traceable)('a repair that is killed at a system call', () => {
  // Those with a number above one are of calls that one thread makes: strace counts for each
  // thread.
  const moments: [string, Where][] = [
    ['openat:signal=KILL:when=1', 'new file'],
    ['write:signal=KILL:when=1', 'new file'],
    ['fsync:signal=KILL:when=1', 'new file'],
    ['fchmod:signal=KILL:when=1', 'new file'],
    [`${linking}:signal=KILL:when=1`, 'log'],
    ['fsync:signal=KILL:when=1', 'folder'],
    [`${renaming}:signal=KILL:when=1`, 'new file'],
    ['fsync:signal=KILL:when=2', 'folder'],
  ];

  it.each(moments)(
    '%s on the %s: leaves one of both files whole, and the next repair finds its way',
    async (fault, where) => {
      const scene = new Scene(fault, where);
      // The outcome of the call is not checked: the process may have ended before.
      scene.driven.call('repairChronicle', scene.path).catch(() => {});
      const end = await scene.driven.child.ended;
      expect(end.signal ?? end.code).not.toBe(0);
      const isPlaced = where === 'folder' && fault.endsWith('2');
      expect(scene.bytes.equals(isPlaced ? mended : damaged)).toBe(true);
      const receipt = await chronicle.append(scene.path, note('after'));
      expect(receipt).toMatchObject({ seq: 3, duplicate: false });
      const again = await chronicle.repairChronicle(scene.path);
      expect(again.repaired).toBe(!isPlaced);
      expect(scene.bytes.subarray(0, mended.length).equals(mended)).toBe(true);
      expect(await chronicle.verifyChronicle(scene.path)).toMatchObject({ ok: true, findings: [] });
      expect(scene.beside).not.toContain('.log.sage.chronicle-repair');
    },
  );
});
