// The script that dumps a side index: it reads one of the library's, and names what is wrong with
// a damaged one.
import {
  appendFileSync,
  existsSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { run } from './cli';
import { chronicle, note, scratchFolder } from './scratch';

const scratch = scratchFolder();
const script = fileURLToPath(new URL('../scripts/inspect/side-index.mjs', import.meta.url));
const dump = (...args: string[]) => run(process.execPath, [script, ...args], null);
const until = async (done: () => boolean) => {
  while (!done()) await new Promise((resolve) => setTimeout(resolve, 20));
};

/** A log with a table and a run, the places of its records, and the path of its side index. */
async function indexed() {
  const path = scratch.path('log.sage');
  const index = join(dirname(path), '.log.sage.chronicle-index');
  const append = (from: number, length: number) =>
    chronicle.appendEvents(
      path,
      Array.from({ length }, (_, n) =>
        note(`${from + n}`, { eventId: `id-${from + n}`, text: 'x'.repeat(40_000) }),
      ),
    );
  // A run of 2 MiB is added while the runs cover less than an eighth of what the table covers.
  const receipts = [...(await append(0, 600))];
  await until(() => existsSync(index));
  const { size } = statSync(index);
  receipts.push(...(await append(600, 60)));
  await chronicle.append(path, note('last', { eventId: 'last' }));
  await until(() => statSync(index).size > size && !existsSync(`${index}-new`));
  return { path, index, receipts };
}

describe('scripts/inspect/side-index.mjs', () => {
  it('prints the parts of an index, and where the record of an id may be', async () => {
    const { path, receipts } = await indexed();
    const { code, stdout } = await dump(path, '--id', 'id-7', '--id', 'id-650', '--id', 'none');
    expect(stdout).toMatch(/^table: bytes 0 to \d+ of the index; bytes 0 to \d+ of the log;/m);
    expect(stdout).toMatch(/^run 1: bytes \d+ to \d+ of the index;/m);
    expect(stdout).toMatch(
      new RegExp(`^id-7: hash \\w{16}; offsets: ${receipts[7]?.offset}$`, 'm'),
    );
    expect(stdout).toMatch(
      new RegExp(`^id-650: hash \\w{16}; offsets: ${receipts[650]?.offset}$`, 'm'),
    );
    expect(stdout).toMatch(/^none: hash \w{16}; offsets: none$/m);
    expect(stdout).toMatch(/^whole$/m);
    expect(code).toBe(0);
  });

  it('names the damaged block, the part that was cut, and the log that was changed', async () => {
    const { path, index } = await indexed();
    const whole = readFileSync(index);
    const faultsOf = async () => {
      const { code, stdout } = await dump(path);
      expect(code).toBe(1);
      return stdout.split('\n').filter((line) => line.startsWith('FAULT'));
    };

    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(4_100) ^ 1, 4_100);
    writeFileSync(index, damaged);
    expect(await faultsOf()).toEqual(['FAULT: table: block 0: the checksum is wrong']);

    writeFileSync(index, whole.subarray(0, whole.length - 4_096));
    expect(await faultsOf()).toEqual([
      expect.stringMatching(/^FAULT: run 1 at byte \d+: cut: it would end at byte \d+ of \d+$/),
    ]);

    const unsigned = Buffer.from(whole);
    unsigned.writeUInt8(unsigned.readUInt8(40) ^ 1, 40);
    writeFileSync(index, unsigned);
    expect(await faultsOf()).toEqual([
      'FAULT: table at byte 0: the digest of header and meta is wrong',
    ]);

    writeFileSync(index, whole);
    truncateSync(path, statSync(path).size - 3_000_000);
    appendFileSync(path, '\n');
    const faults = await faultsOf();
    expect(faults.some((line) => /it reaches to byte \d+; the log has \d+$/.test(line))).toBe(true);
  });

  it('reports a missing index', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('one'));
    expect(await dump(path)).toMatchObject({ code: 1 });
    expect((await dump()).code).toBe(2);
  });
});
