// What somebody hostile can do with a file, a path, an event, an option or a cursor: each claim of
// SECURITY.md.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Child, within } from './child';
import { Driven } from './driven';
import { chronicle, failure, note, present, scratchFolder, skipped } from './scratch';
import { binding, rejection } from './support';

const scratch = scratchFolder();
const isRoot = process.getuid?.() === 0;
if (!isRoot) skipped('root', 'root privileges not found');
const flock = present('a lock of a reader', 'flock');

const side = (path: string, kind: string) =>
  join(dirname(path), `.${basename(path)}.chronicle-${kind}`);

/** Waits by polling: side indexes are built in the background, without an event. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('nothing happened for a minute');
    await pause(5);
  }
}

const long = 'x'.repeat(10_000);

/** Appends so much that the log gets a side index, in a process of its own, and waits for that. */
async function indexed(path: string, command: string[] = []): Promise<void> {
  const driven = new Driven(command);
  const events = Array.from({ length: 130 }, (_, n) => note(`m:${n}`, { text: long }));
  await driven.value('appendEvents', path, events);
  await until(() => existsSync(side(path, 'index')));
  await driven.end();
}

describe('a path', () => {
  it.each(['../a.sage', 'a/../b.sage', '/tmp/../a.sage', 'a.sage\0', 'a\0.sage', '', '.sage/'])(
    '%j is refused before anything is touched',
    async (path) => {
      for (const call of [
        chronicle.append(path, note('a')),
        chronicle.readChronicle(path),
        chronicle.repairChronicle(path),
        chronicle.lockChronicles([path]),
      ].map(failure)) {
        expect(await call).toMatchObject({ code: 'EVALIDATION' });
      }
    },
  );

  it('is a string: nothing is asked what it would like to be', async () => {
    let asked = 0;
    const path: any = {
      toString: () => `${(asked += 1)}.sage`,
      [Symbol.toPrimitive]: () => `${(asked += 1)}.sage`,
    };
    expect(await failure(chronicle.append(path, note('a')))).toMatchObject({ code: 'EVALIDATION' });
    expect(asked).toBe(0);
  });
});

describe('a key named __proto__', () => {
  const hostile = (text: string) => JSON.parse(text);

  it('of an event is a field like others, written and read', async () => {
    const path = scratch.path('log.sage');
    const event = hostile(
      '{"type":"constructor","timestamp":"t","actor":{"agent":"__proto__","id":"toString"},"__proto__":{"polluted":1},"a":{"__proto__":{"b":1}}}',
    );
    const receipt = await chronicle.append(path, event);
    const [read] = await chronicle.readChronicle<any>(path);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(Object.hasOwn(read, '__proto__')).toBe(true);
    expect(JSON.stringify(read.a)).toBe('{"__proto__":{"b":1}}');
    expect(await chronicle.verifyEventId(read)).toBe(true);
    expect((await chronicle.append(path, event)).duplicate).toBe(true);
    const [found] = await chronicle.queryChronicle<any>(path, { type: 'constructor' });
    expect(found.eventId).toBe(receipt.eventId);
    expect(({} as any).polluted).toBeUndefined();
  });

  it('is no option, no filter and no place', async () => {
    const path = scratch.path('log.sage');
    const options = hostile('{"__proto__":{"anyExtension":true}}');
    expect(await failure(chronicle.append(path, note('a'), options))).toMatchObject({
      code: 'EVALIDATION',
    });
    const where = hostile('{"__proto__":{"type":"NOTE_TAKEN"}}');
    expect(await failure(chronicle.queryChronicle(path, where))).toMatchObject({
      code: 'EVALIDATION',
    });
    const from = hostile('{"__proto__":{"seq":1}}');
    expect(await failure(chronicle.streamChronicle(path, { from }).next())).toMatchObject({
      code: 'EVALIDATION',
    });
    expect(existsSync(path)).toBe(false);
  });

  it('and ids, types, agents and times of that name are counted and linked like others', async () => {
    const path = scratch.path('log.sage');
    const lines = ['__proto__', 'constructor', 'hasOwnProperty'].map((name) =>
      JSON.stringify({
        type: name,
        timestamp: name,
        actor: { agent: name, id: name },
        eventId: name,
        prevEventId: '__proto__',
      }),
    );
    writeFileSync(path, `${lines.join('\n')}\n`);
    const { eventTypes, actors, totalEvents } = await chronicle.analyzeChronicle(path);
    expect(Object.entries(eventTypes)).toHaveLength(3);
    expect(Object.entries(actors)).toHaveLength(3);
    expect(totalEvents).toBe(3);
    expect(await chronicle.getCompleteChain(path, 'constructor')).toBeInstanceOf(Array);
    expect((await chronicle.validateCausalChain(path)).totalEvents).toBe(3);
    const retry = { ...note('a'), eventId: '__proto__' };
    expect(await chronicle.append(path, retry)).toMatchObject({ duplicate: true, seq: 1 });
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

describe('a crafted file', () => {
  it('nested a million deep is a bad line, and its neighbours are read', async () => {
    const path = scratch.path('log.sage');
    const good = JSON.stringify(note('good'));
    const depth = 1_000_000;
    const arrays = `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    const objects = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    writeFileSync(path, `${good}\n${arrays}\n${objects}\n${good}\n`);
    expect(await chronicle.readChronicle(path)).toHaveLength(2);
    expect(await chronicle.tailChronicle(path, 5)).toHaveLength(2);
    expect(await chronicle.countEvents(path, { type: 'NOTE_TAKEN' })).toBe(2);
    expect((await chronicle.verifyChronicle(path)).findings).toMatchObject([
      { kind: 'malformed', line: 2 },
      { kind: 'malformed', line: 3 },
    ]);
    expect((await chronicle.analyzeChronicle(path)).corruptedLines).toBe(2);
    const { plan } = await chronicle.repairChronicle(path, { dryRun: true });
    expect(plan?.removed).toHaveLength(2);
    expect(await chronicle.append(path, note('next'))).toMatchObject({ seq: 3 });
  });

  it('cannot have an event appended that nests too deep', async () => {
    const path = scratch.path('log.sage');
    for (const depth of [1_001, 20_000]) {
      const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
      const event: any = { ...note('deep'), toJSON: undefined, deep: JSON.parse(nested) };
      expect(await failure(chronicle.append(path, event))).toMatchObject({ code: 'EVALIDATION' });
    }
    expect(existsSync(path)).toBe(false);
  });

  it('without any newline takes bounded memory, however long it is', async () => {
    const path = scratch.path('log.sage');
    const file = openSync(path, 'w');
    writeSync(file, '{"a":"');
    ftruncateSync(file, 1 << 29);
    closeSync(file);
    const program = `
      const chronicle = require(${JSON.stringify(join(__dirname, '..', 'index.js'))});
      const path = ${JSON.stringify(path)};
      (async () => {
        if ((await chronicle.readChronicle(path)).length !== 0) throw new Error('records');
        if ((await chronicle.tailChronicle(path, 1)).length !== 0) throw new Error('records');
        await chronicle.verifyChronicle(path);
        console.log(process.resourceUsage().maxRSS);
      })();`;
    const child = new Child(process.execPath, ['-e', program]);
    await within(child.ended, 60_000, 'no end');
    expect(child.stderr).toBe('');
    expect(Number(child.lines[0])).toBeGreaterThan(0);
    expect(Number(child.lines[0]) / 1024).toBeLessThan(500);
  }, 90_000);

  it('cannot speak to the terminal on which its analysis is shown', async () => {
    const path = scratch.path('log.sage');
    const actor = { agent: '\u009b31m', id: '\u202e' };
    const event = { type: '\u001b]0;x\u0007\n\u2028', timestamp: '\u001b[2J', actor };
    writeFileSync(path, `${JSON.stringify(event)}\n`);
    const report = chronicle.formatAnalysisReport(await chronicle.analyzeChronicle(path));
    expect(report).toContain('\\u001b]0;x\\u0007\\n\\u2028: 1');
    // eslint-disable-next-line no-control-regex
    expect(report).not.toMatch(/[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]/);
  });
});

describe('a crafted cursor', () => {
  it('leads to a place in the file or is refused, whatever numbers it has', async () => {
    const path = scratch.path('log.sage');
    writeFileSync(path, '{"a":1}\n{"b":2}\n');
    const { dev, ino } = statSync(path, { bigint: true });
    const huge = [0n, 1n, 8n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    for (const [a, b] of huge.flatMap((a) => huge.map((b) => [a, b]))) {
      for (const place of [`[${a},0,7,${b}]`, `[1,${a},${b},1]`]) {
        const met = `{"device":"${dev}","inode":"${ino}","counted":true,"place":${place},"reverse":false}`;
        const cursor = JSON.parse(binding.cursorOf('{"a":1}', met)).ok;
        expect(cursor).toBeTypeOf('string');
        for (const open of [chronicle.streamChronicle, chronicle.followChronicle]) {
          const records = open<any>(path, { from: { cursor }, positions: true });
          const first = await within(
            records.next().then(
              ({ value }) => typeof value?.seq === 'number',
              (error) => ['ECONFLICT', 'EVALIDATION'].includes(error.code),
            ),
            20_000,
            'no answer',
          );
          expect(first, place).toBe(true);
          await records.return?.();
        }
      }
    }
  });

  it.each(['', 'c1', 'c2-1-1-1-1-1-a--1', 'c1-1-2-3-4-5-a-6.7-0', '\0', 'c1-'.repeat(100_000)])(
    'that no iterator gave is refused',
    async (cursor) => {
      const records = chronicle.streamChronicle(scratch.path('log.sage'), { from: { cursor } });
      expect(await failure(records.next())).toMatchObject({ code: 'EVALIDATION' });
    },
  );
});

describe('what is passed in', () => {
  it('may throw wherever it is touched: the call rejects and nothing is written', async () => {
    const path = scratch.path('log.sage');
    const thrower: any = new Proxy(
      {},
      {
        get() {
          throw new Error('no');
        },
        ownKeys() {
          throw new Error('no');
        },
      },
    );
    const signal: any = {
      aborted: false,
      addEventListener() {
        throw new Error('no');
      },
      removeEventListener() {
        throw new Error('no');
      },
    };
    const calls = [
      () => chronicle.append(path, thrower),
      () => chronicle.append(path, note('a'), thrower),
      () => chronicle.append(path, note('a'), { signal }),
      () => chronicle.append(path, note('a'), { signal: thrower }),
      () => chronicle.appendEvents(path, thrower),
      () => chronicle.queryChronicle(path, thrower),
      () => chronicle.lockChronicles(thrower),
      () => chronicle.streamChronicle(path, { from: thrower }).next(),
    ];
    for (const call of calls) expect(await rejection(call())).toBeInstanceOf(Error);
    expect(existsSync(path) && statSync(path).size > 0).toBe(false);
    expect(await chronicle.append(path, note('after'))).toMatchObject({ seq: 1 });
  });
});

describe.skipIf(!flock)('a user that may read a log', () => {
  it('can hold its lock: appends time out, and reading continues', async () => {
    const path = scratch.path('log.sage');
    await chronicle.append(path, note('a'));
    chmodSync(path, 0o444);
    const holder = new Child('flock', ['-x', path, '-c', 'echo held; read line']);
    await holder.line((line) => line === 'held');
    const error = await failure(chronicle.append(path, note('b'), { lockTimeoutMs: 100 }));
    expect(error).toMatchObject({ code: 'ELOCK_TIMEOUT', written: 'no' });
    expect(await chronicle.readChronicle(path)).toHaveLength(1);
    holder.send('');
    await holder.ended;
  });
});

describe('a stranger who may write the folder', () => {
  it('cannot lead us elsewhere by what stands at the name of the lock file', async () => {
    const path = scratch.path('log.sage');
    const precious = scratch.path('precious');
    await chronicle.append(path, note('a'));
    const plants: [string, string, (name: string) => void][] = [
      ['a link to a file', 'text', (name) => symlinkSync(precious, name)],
      ['a link to nothing', 'text', (name) => symlinkSync(scratch.path('nothing'), name)],
      ['a directory in its place', 'text', (name) => symlinkSync('/', name)],
      ['another name of an empty file', '', (name) => linkSync(precious, name)],
      ['a FIFO', 'text', (name) => void spawnSync('mkfifo', [name])],
    ];
    for (const [what, content, plant] of plants) {
      writeFileSync(precious, content);
      plant(side(path, 'lock'));
      const locked = chronicle.lockChronicles([path]).then(
        (lock) => lock.release(),
        (error) => expect(['EIO', 'EVALIDATION'], what).toContain(error.code),
      );
      await within(locked, 20_000, what);
      expect(readFileSync(precious, 'utf8'), what).toBe(content);
      expect(existsSync(scratch.path('nothing')), what).toBe(false);
      spawnSync('rm', [side(path, 'lock')]);
    }
  });

  it('cannot lead a repair elsewhere', async () => {
    const path = scratch.path('log.sage');
    const precious = scratch.path('precious');
    writeFileSync(precious, 'text');
    writeFileSync(path, '{"a":1}\nbad\n');
    symlinkSync(precious, side(path, 'repair'));
    expect(await chronicle.repairChronicle(path)).toMatchObject({ repaired: true });
    expect(readFileSync(precious, 'utf8')).toBe('text');
    expect(readFileSync(path, 'utf8')).toBe('{"a":1}\n');
    expect(lstatSync(path).isSymbolicLink()).toBe(false);
  });

  it.skipIf(!isRoot)(
    'cannot hide records by a side index of another owner',
    async () => {
      // The index describes an older state of the log: a reader that trusts it misses the record.
      for (const owner of [0, 65_534]) {
        const path = scratch.path(`owner-${owner}.sage`);
        await indexed(path);
        const before = readFileSync(path);
        const end = before.indexOf(10);
        const hidden = JSON.stringify({ ...note('hidden'), eventId: 'hidden' });
        const file = openSync(path, 'r+');
        writeSync(file, hidden.padEnd(end), 0);
        closeSync(file);
        chownSync(side(path, 'index'), owner, owner);
        const driven = new Driven();
        const receipt = await driven.value('append', path, JSON.parse(hidden));
        expect(receipt.duplicate, `owner ${owner}`).toBe(owner !== 0);
        await driven.end();
      }
    },
    60_000,
  );
});

describe('what is made beside a log', () => {
  it('may be read and written by the users that may read and write the log', async () => {
    for (const mode of [0o600, 0o640, 0o664]) {
      const path = scratch.path(`mode-${mode}.sage`);
      writeFileSync(path, '', { mode });
      chmodSync(path, mode);
      await indexed(path);
      const lock = await chronicle.lockChronicles([path]);
      await lock.release();
      expect(statSync(side(path, 'index')).mode & 0o777).toBe(mode);
      // The umask may take some of it.
      expect(statSync(side(path, 'lock')).mode & 0o777 & ~mode).toBe(0);
      expect(statSync(path).mode & 0o777).toBe(mode);
    }
  }, 60_000);

  it('has with a log made under a narrow umask the mode that it leaves', async () => {
    const path = scratch.path('log.sage');
    await indexed(path, ['sh', '-c', 'umask 077; exec "$@"', 'sh']);
    for (const name of readdirSync(dirname(path))) {
      expect(statSync(join(dirname(path), name)).mode & 0o777, name).toBe(0o600);
    }
  });
});
