'use strict';

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const chronicle = require('../../index.js');
const { event, temporaryFolder } = require('./folder.js');

const inFolder = temporaryFolder();

test('a signal that was aborted before rejects with its reason', async () => {
  const controller = new AbortController();
  const reason = { given: 'up' };
  controller.abort(reason);
  const options = { signal: controller.signal };
  await expect(chronicle.append(inFolder('a.sage'), event(1), options)).rejects.toBe(reason);
  await expect(chronicle.readChronicle(inFolder('a.sage'), options)).rejects.toBe(reason);
  await expect(chronicle.tailChronicle(inFolder('a.sage'), 1, options)).rejects.toBe(reason);
  expect(fs.existsSync(inFolder('a.sage'))).toBe(false);
});

test('a signal aborted during a read rejects with its reason', async () => {
  const line = `${JSON.stringify({ ...event(1), text: 'x'.repeat(1000) })}\n`;
  fs.writeFileSync(inFolder('a.sage'), line.repeat(10_000));
  const controller = new AbortController();
  const read = chronicle.readChronicle(inFolder('a.sage'), { signal: controller.signal });
  const reason = new Error('enough');
  controller.abort(reason);
  await expect(read).rejects.toBe(reason);
});

test('a signal without a reason rejects with an AbortError of this realm', async () => {
  const signal = { aborted: true, addEventListener() {}, removeEventListener() {} };
  const append = chronicle.append(inFolder('a.sage'), event(1), { signal });
  const error = await append.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(DOMException);
  expect(error.name).toBe('AbortError');
});

test('a signal shared by many appends has one listener', async () => {
  const { signal } = new AbortController();
  const add = jest.spyOn(signal, 'addEventListener');
  const remove = jest.spyOn(signal, 'removeEventListener');
  const appends = Array.from({ length: 20 }, (_, n) =>
    chronicle.append(inFolder('a.sage'), event(n), { signal }),
  );
  await Promise.all(appends);
  expect(add).toHaveBeenCalledTimes(1);
  expect(remove).toHaveBeenCalledTimes(1);
});

test('a signal that is never aborted changes nothing', async () => {
  const { signal } = new AbortController();
  const receipt = await chronicle.append(inFolder('a.sage'), event(1), { signal });
  expect(receipt.seq).toBe(1);
  expect(await chronicle.readChronicle(inFolder('a.sage'), { signal })).toHaveLength(1);
});

const flock = spawnSync('flock', ['--version']).error === undefined;
if (!flock) process.stdout.write('SKIPPED jest-signal: flock not found\n');

(flock ? test : test.skip)(
  'a signal aborted while another process has the lock ends the wait',
  async () => {
    const path = inFolder('a.sage');
    await chronicle.append(path, event(1));
    // The holder says when it has the lock and keeps it until its standard input ends.
    const holder = spawn('flock', [path, 'sh', '-c', 'echo locked; cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => holder.once('close', resolve));
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const controller = new AbortController();
      const options = { signal: controller.signal, lockTimeoutMs: 20_000 };
      const waiting = chronicle.append(path, event(2), options);
      const refused = expect(waiting).rejects.toBe('no longer wanted');
      // An append with a deadline of its own shows that the wait has begun before the signal comes.
      await expect(chronicle.append(path, event(3), { lockTimeoutMs: 50 })).rejects.toMatchObject({
        code: 'ELOCK_TIMEOUT',
      });
      controller.abort('no longer wanted');
      await refused;
    } finally {
      holder.stdin.end();
      await ended;
    }
    expect(await chronicle.readChronicle(path)).toHaveLength(1);
    expect((await chronicle.append(path, event(4))).seq).toBe(2);
  },
);
