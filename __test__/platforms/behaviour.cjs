'use strict';

// node __test__/platforms/behaviour.cjs [PART OF A NAME]: the guarantees of the package, tested by
// a plain Node program, which runs on every platform with Node.
//
// - NODE_WRAPPER: the program that starts Node, if process.execPath does not.
// - NAPI_RS_NATIVE_LIBRARY_PATH: the addon, if it is not in the clone.
// - BEHAVIOUR_SKIP: a JSON object of skipped tests, from the beginning of a name to the reason.
//
// The last line is the total; the exit code is 1 if anything failed.
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { Worker } = require('node:worker_threads');
const chronicle = require('../../index.js');
const { note } = require('./note.cjs');

/** For whatever hangs; an emulated processor is slow. */
const LIMIT = 300_000;
const isWindows = process.platform === 'win32';
const node = process.env.NODE_WRAPPER || process.execPath;
const cli = path.join(__dirname, '../../bin/chronicle.js');

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** A process that speaks in lines. */
class Member {
  /** @type {string[]} */
  lines = [];

  /** @param {string[]} args */
  constructor(...args) {
    const child = spawn(node, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.child = child;
    running.add(child);
    child.stdin.on('error', () => {});
    this.reader = createInterface({ input: child.stdout });
    this.reader.on('line', (line) => void this.lines.push(line));
    /** @type {Promise<{ code: number | null, signal: string | null }>} */
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        running.delete(child);
        resolve({ code, signal });
      });
    });
  }

  static task(/** @type {string[]} */ ...args) {
    return new Member(path.join(__dirname, 'member.cjs'), ...args);
  }

  /** Waits until it has said a line. */
  async said(/** @type {string} */ wanted) {
    if (this.lines.includes(wanted)) return;
    await new Promise((resolve, reject) => {
      this.reader.on('line', (line) => line === wanted && resolve(undefined));
      this.reader.on('close', () => reject(new Error(`ended without saying ${wanted}`)));
    });
  }

  /** Waits for a good end and gives what it said. */
  async finished() {
    assert.deepEqual(await this.ended, { code: 0, signal: null });
    return this.lines;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** @type {[string, (file: (name: string) => string) => Promise<unknown>][]} */
const tests = [];
const test = (
  /** @type {string} */ name,
  /** @type {(file: (name: string) => string) => Promise<unknown>} */ body,
) => tests.push([name, body]);

/** @param {Promise<unknown>} promise @param {string} code */
async function fails(promise, code) {
  const error = await promise.then(
    () => assert.fail(`resolved where ${code} was due`),
    (thrown) => thrown,
  );
  assert.ok(chronicle.isChronicleError(error), String(error));
  assert.equal(error.code, code, error.message);
  return error;
}

const marks = (/** @type {any[]} */ events) => events.map((event) => event.mark);

test('an append is in the file when it resolves, and its receipt says where', async (file) => {
  const log = file('a.sage');
  const first = await chronicle.append(log, note('1'));
  assert.deepEqual(
    { seq: first.seq, offset: first.offset, duplicate: first.duplicate, durable: first.durable },
    { seq: 1, offset: 0, duplicate: false, durable: true },
  );
  const second = await chronicle.append(log, note('2'));
  const bytes = fs.readFileSync(log);
  assert.equal(second.offset, first.length + 1);
  assert.equal(bytes.length, second.offset + second.length + 1);
  assert.equal(JSON.parse(bytes.subarray(second.offset, -1).toString()).mark, '2');
  assert.ok(!bytes.includes('\r'));
});

test('an event is appended once, by its id or its key', async (file) => {
  const log = file('a.sage');
  const first = await chronicle.append(log, note('1'));
  const again = await chronicle.append(log, note('1'));
  assert.deepEqual(again, { ...first, duplicate: true });
  await chronicle.append(log, note('2'), { idempotencyKey: 'k' });
  const retry = await chronicle.append(log, note('3'), { idempotencyKey: 'k' });
  assert.deepEqual([retry.seq, retry.duplicate], [2, true]);
  assert.equal((await chronicle.readChronicle(log)).length, 2);
});

test('events of one call are appended together or not at all', async (file) => {
  const log = file('a.sage');
  const receipts = await chronicle.appendEvents(log, [note('1'), note('2'), note('1')]);
  assert.deepEqual(
    receipts.map(({ seq, duplicate }) => [seq, duplicate]),
    [
      [1, false],
      [2, false],
      [1, true],
    ],
  );
  const bad = /** @type {any} */ ({ type: 'X' });
  const error = await fails(chronicle.appendEvents(log, [note('4'), bad]), 'EVALIDATION');
  assert.equal(error.index, 1);
  assert.deepEqual(marks(await chronicle.readChronicle(log)), ['1', '2']);
});

test('the sync append gives the same receipt', async (file) => {
  const log = file('a.sage');
  assert.equal(chronicle.appendEventSync(log, note('1')).seq, 1);
  assert.equal(chronicle.appendEventSync(log, note('1')).duplicate, true);
  assert.equal(chronicle.flushSync(), true);
});

test('a path must name a file that ends in .sage, without going up', async (file) => {
  const folder = path.dirname(file('a.sage'));
  const wrong = ['a.txt', 'a.sage/', '', 'x/../a.sage', '..', 'a\0.sage'].map((name) =>
    name === '' ? name : folder + path.sep + name,
  );
  if (isWindows)
    wrong.push(`${folder}\\x\\..\\a.sage`, `${folder}\\a.sage\\`, `${folder}\\a:b.sage`);
  for (const name of wrong) await fails(chronicle.append(name, note('1')), 'EVALIDATION');
  assert.deepEqual(fs.readdirSync(folder), []);
  await chronicle.append(`${folder}/b..c.sage`, note('1'));
  if (isWindows) {
    const other = folder.replaceAll('\\', '/');
    assert.equal((await chronicle.append(`${other}/b..c.sage`, note('1'))).duplicate, true);
    assert.equal((await chronicle.append(`${folder}\\B..C.sage`, note('1'))).duplicate, true);
  }
});

test('missing folders are made, and a relative path is one from the current folder', async (file) => {
  const log = file(path.join('x', 'y', 'a.sage'));
  await chronicle.append(log, note('1'));
  const before = process.cwd();
  process.chdir(path.dirname(log));
  try {
    assert.equal((await chronicle.append('a.sage', note('1'))).duplicate, true);
  } finally {
    process.chdir(before);
  }
});

test('what is no file is refused, and what cannot be made says why', async (file) => {
  const folder = file('folder.sage');
  fs.mkdirSync(folder);
  await fails(chronicle.append(folder, note('1')), 'EVALIDATION');
  fs.writeFileSync(file('plain'), '');
  const error = await fails(chronicle.append(file(path.join('plain', 'a.sage')), note('1')), 'EIO');
  assert.equal(error.written, 'no');
  assert.match(String(/** @type {any} */ (error.cause)?.code), /^E[A-Z]+$/);
  assert.deepEqual(await chronicle.readChronicle(file('missing.sage')), []);
});

test('while another process holds the lock appends wait and readers do not', async (file) => {
  const log = file('a.sage');
  await chronicle.append(log, note('1'));
  const holder = Member.task('hold', log);
  await holder.said('held');
  const error = await fails(
    chronicle.append(log, note('2'), { lockTimeoutMs: 50 }),
    'ELOCK_TIMEOUT',
  );
  assert.ok(/** @type {number} */ (error.waitedMs) >= 50);
  await fails(chronicle.lockChronicles([log], { lockTimeoutMs: 0 }), 'ELOCK_TIMEOUT');
  assert.deepEqual(marks(await chronicle.readChronicle(log)), ['1']);
  assert.deepEqual(marks(await chronicle.tailChronicle(log, 1)), ['1']);
  assert.equal(fs.readFileSync(log, 'utf8').split('\n').length, 2);
  // More than libuv has threads: none of them may wait for a lock.
  const waiting = Array.from({ length: 16 }, (_, at) =>
    chronicle.append(log, note(`w:${at}`), { lockTimeoutMs: LIMIT }),
  );
  await fs.promises.stat(log);
  assert.equal(chronicle.chronicleStats().pending, 16);
  holder.child.stdin.end();
  await holder.finished();
  const receipts = await Promise.all(waiting);
  assert.equal(new Set(receipts.map(({ seq }) => seq)).size, 16);
  assert.equal((await chronicle.append(log, note('2'))).seq, 18);
});

test('the lock of a killed process is free', async (file) => {
  const log = file('a.sage');
  const holder = Member.task('hold', log);
  await holder.said('held');
  await fails(chronicle.append(log, note('1'), { lockTimeoutMs: 0 }), 'ELOCK_TIMEOUT');
  const waiting = chronicle.append(log, note('1'), { lockTimeoutMs: LIMIT });
  await holder.kill();
  assert.equal((await waiting).seq, 1);
});

test('a lock session keeps plain appends out and appends itself', async (file) => {
  const names = [file('a.sage'), file('b.txt')];
  const lock = await chronicle.lockChronicles(names);
  await fails(chronicle.append(names[0], note('1'), { lockTimeoutMs: 0 }), 'ELOCK_TIMEOUT');
  await fails(chronicle.lockChronicles(names, { lockTimeoutMs: 0 }), 'ELOCK_TIMEOUT');
  assert.equal((await lock.append(names[0], note('1'))).seq, 1);
  assert.equal((await lock.append(names[0], note('1'))).duplicate, true);
  const lockFile = file('.a.sage.chronicle-lock');
  assert.equal(fs.statSync(lockFile).size, 48);
  // It is the lock there, and two processes must not lock two files.
  if (isWindows) assert.throws(() => fs.rmSync(lockFile), /EPERM|EBUSY|EACCES/);
  const other = Member.task('once', names[0], '2');
  await lock.append(names[0], note('3'));
  await lock.release();
  assert.deepEqual(await other.finished(), ['appended 3']);
  const shared = await Promise.all(
    [0, 1].map(() => chronicle.lockChronicles(names, { mode: 'shared' })),
  );
  await fails(chronicle.append(names[0], note('4'), { lockTimeoutMs: 0 }), 'ELOCK_TIMEOUT');
  await Promise.all(shared.map((each) => each.release()));
  assert.equal((await chronicle.append(names[0], note('4'))).seq, 4);
});

test('a torn tail is ended by the next append and harms no record', async (file) => {
  const log = file('a.sage');
  await chronicle.append(log, note('1'));
  fs.appendFileSync(log, '{"type":"TORN","times');
  const torn = await chronicle.verifyChronicle(log);
  assert.deepEqual([torn.ok, torn.findings.map(({ kind }) => kind)], [true, ['torn']]);
  assert.equal((await chronicle.append(log, note('2'))).seq, 2);
  assert.deepEqual(marks(await chronicle.readChronicle(log)), ['1', '2']);
  const { ok, findings } = await chronicle.verifyChronicle(log);
  assert.deepEqual([ok, findings.map(({ kind }) => kind)], [false, ['malformed']]);
  fs.appendFileSync(log, JSON.stringify(note('3')));
  assert.equal((await chronicle.append(log, note('4'))).seq, 4);
});

test('a file that is renamed away keeps its records, and a new one is begun', async (file) => {
  const log = file('a.sage');
  await chronicle.append(log, note('1'));
  fs.renameSync(log, file('old.sage'));
  const { seq, duplicate } = await chronicle.append(log, note('1'));
  assert.deepEqual([seq, duplicate], [1, false]);
  assert.deepEqual(marks(await chronicle.readChronicle(file('old.sage'))), ['1']);
  // Of one that is replaced the history of the new one counts.
  fs.renameSync(log, file('older.sage'));
  fs.writeFileSync(log, `${JSON.stringify(note('2', { eventId: 'x' }))}\n`);
  assert.equal((await chronicle.append(log, note('3', { eventId: 'x' }))).duplicate, true);
});

test('a deleted file is created again', async (file) => {
  const log = file('a.sage');
  await chronicle.append(log, note('1'));
  fs.rmSync(log);
  const { seq, duplicate } = await chronicle.append(log, note('1'));
  assert.deepEqual([seq, duplicate], [1, false]);
  assert.deepEqual(marks(await chronicle.readChronicle(log)), ['1']);
});

test('processes that write at once tear, lose and double nothing', async (file) => {
  const log = file('a.sage');
  const [members, count] = [4, 50];
  const all = Array.from({ length: members }, (_, at) =>
    Member.task('write', log, `m${at}`, String(count)),
  );
  const said = (await Promise.all(all.map((member) => member.finished()))).flat();
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  assert.equal(lines.pop(), '');
  const seen = lines.map((line) => JSON.parse(line).mark);
  const due = ['m0', 'm1', 'm2', 'm3', 'all'].flatMap((name) =>
    Array.from({ length: count }, (_, at) => `${name}:${at}`),
  );
  assert.deepEqual(seen.slice().sort(), due.slice().sort());
  const appended = said.filter((line) => line.startsWith('appended '));
  assert.equal(new Set(appended).size, due.length);
  assert.equal(said.length, 2 * members * count);
  for (let at = 0; at < members; at += 1) {
    const own = seen.filter((mark) => mark.startsWith(`m${at}:`));
    assert.deepEqual(
      own,
      Array.from({ length: count }, (_, n) => `m${at}:${n}`),
    );
  }
  assert.equal((await chronicle.verifyChronicle(log)).ok, true);
});

test('a follower gets what another process appends, also behind a rename', async (file) => {
  const log = file('a.sage');
  await chronicle.append(log, note('1'));
  const follower = chronicle.followChronicle(log);
  const next = async () => /** @type {any} */ ((await follower.next()).value).mark;
  assert.equal(await next(), '1');
  const waiting = next();
  assert.deepEqual(await Member.task('once', log, '2').finished(), ['appended 2']);
  assert.equal(await waiting, '2');
  fs.renameSync(log, file('old.sage'));
  const after = next();
  await chronicle.append(log, note('3'));
  assert.equal(await after, '3');
  await follower.return?.();
});

test('reading from the end, by place, by query and in reverse', async (file) => {
  const log = file('a.sage');
  const events = Array.from({ length: 300 }, (_, at) => note(`${at % 3}:${at}`));
  await chronicle.appendEvents(log, events);
  assert.deepEqual(marks(await chronicle.tailChronicle(log, 2)), ['1:298', '2:299']);
  assert.equal(await chronicle.countEvents(log, { actor: { id: '1' } }), 100);
  const found = await chronicle.queryChronicle(
    log,
    { actor: { id: '0' } },
    { reverse: true, limit: 2 },
  );
  assert.deepEqual(marks(found), ['0:297', '0:294']);
  const stream = chronicle.streamChronicle(log, { from: { seq: 300 } });
  const seen = [];
  for await (const event of stream) seen.push(event);
  assert.deepEqual(marks(seen), ['2:299']);
  const handle = await chronicle.openChronicle(log);
  assert.equal((await handle.read()).length, 300);
  await handle.append(note('more'));
  assert.equal((await handle.read()).length, 301);
  await handle.close();
});

test('a long log is known again by a process that opens it', async (file) => {
  const log = file('a.sage');
  const events = Array.from({ length: 3000 }, (_, at) => note(`${at}`, { pad: 'x'.repeat(600) }));
  await chronicle.appendEvents(log, events);
  await chronicle.append(log, note('last'));
  assert.deepEqual(await Member.task('once', log, 'last').finished(), ['duplicate 3001']);
});

test('bad lines are moved out by a repair, which keeps the old file', async (file) => {
  const log = file('a.sage');
  fs.writeFileSync(log, `${JSON.stringify(note('1'))}\nnonsense\n${JSON.stringify(note('2'))}\n`);
  const old = fs.readFileSync(log);
  const plan = await chronicle.repairChronicle(log, { dryRun: true });
  assert.equal(plan.repaired, false);
  const result = await chronicle.repairChronicle(log);
  assert.equal(result.repaired, true);
  assert.deepEqual(marks(await chronicle.readChronicle(log)), ['1', '2']);
  assert.equal((await chronicle.verifyChronicle(log)).ok, true);
  const beside = fs.readdirSync(path.dirname(log));
  const backup = beside.find((name) => name.startsWith('a.sage.backup.'));
  assert.deepEqual(fs.readFileSync(path.join(path.dirname(log), String(backup))), old);
  assert.equal((await chronicle.append(log, note('3'))).seq, 3);
});

test('a worker thread appends like anybody', async (file) => {
  const log = file('a.sage');
  const worker = new Worker(path.join(__dirname, 'worker.cjs'), { workerData: log });
  const seq = await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  assert.equal(seq, 1);
  await worker.terminate();
  assert.equal((await chronicle.append(log, note('worker'))).duplicate, true);
});

test('the command appends, reads, waits for the lock and holds it', async (file) => {
  const log = file('a.sage');
  const event = JSON.stringify(note('1'));
  const append = new Member(cli, 'append', log);
  append.child.stdin.end(`${event}\n`);
  await append.finished();
  const lock = await chronicle.lockChronicles([log]);
  const late = new Member(cli, 'append', log, '--timeout', '0');
  late.child.stdin.end(`${JSON.stringify(note('2'))}\n`);
  assert.equal((await late.ended).code, 3);
  await lock.release();
  const program = 'process.stdout.write("runs\\n"); process.stdin.resume()';
  const held = new Member(cli, 'lock', log, '--', node, '-e', program);
  await held.said('runs');
  await fails(chronicle.append(log, note('2'), { lockTimeoutMs: 0 }), 'ELOCK_TIMEOUT');
  held.child.stdin.end();
  assert.equal((await held.ended).code, 0);
  assert.equal((await chronicle.append(log, note('2'))).seq, 2);
});

/** @type {[string, string][]} */
const skips = Object.entries(JSON.parse(process.env.BEHAVIOUR_SKIP || '{}'));

/**
 * @param {string} name @param {(file: (name: string) => string) => Promise<unknown>} body @param
 *   {string} folder
 */
async function run(name, body, folder) {
  fs.mkdirSync(folder);
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const hangs = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${LIMIT} ms`)), LIMIT);
  });
  try {
    await Promise.race([body((short) => path.join(folder, short)), hangs]);
    console.log(`ok - ${name}`);
    return true;
  } catch (error) {
    console.log(`not ok - ${name}`);
    console.log(error);
    return false;
  } finally {
    clearTimeout(timer);
    for (const child of running) child.kill('SIGKILL');
  }
}

async function main() {
  const [part = ''] = process.argv.slice(2);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const folder = fs.mkdtempSync(path.join(tmpdir(), 'chronicle-'));
  for (const [at, [name, body]] of tests.entries()) {
    if (!name.includes(part)) continue;
    const skip = skips.find(([beginning]) => name.startsWith(beginning));
    if (skip) {
      counts.skipped += 1;
      console.log(`SKIPPED ${name}: ${skip[1]}`);
    } else {
      counts[(await run(name, body, path.join(folder, `${at}`))) ? 'passed' : 'failed'] += 1;
    }
  }
  // Wine keeps the name of what is still open, and the folder with it.
  await fs.promises.rm(folder, { recursive: true, force: true }).catch(() => {});
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  // Not waiting for what a test that failed left behind.
  process.exit(counts.failed > 0 ? 1 : 0);
}

void main();
