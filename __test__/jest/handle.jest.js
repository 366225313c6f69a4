'use strict';

const chronicle = require('../../index.js');
const { event, temporaryFolder } = require('./folder.js');

const inFolder = temporaryFolder();

test('an open chronicle appends, reads from its cache, and is closed', async () => {
  const log = await chronicle.openChronicle(inFolder('a.sage'));
  await log.append(event(1));
  const [first] = await log.read();
  await log.appendMany([event(2), event(3)]);
  const events = await log.read();
  expect(events).toBeInstanceOf(Array);
  expect(events).toHaveLength(3);
  expect(events[0]).toBe(first);
  expect(events[0]).toBeInstanceOf(Object);
  await log.close();
  await expect(log.read()).rejects.toBeInstanceOf(Error);
  await expect(log.read()).rejects.toMatchObject({ code: 'ECLOSED' });
});

test('signals of the environment give up what is under way', async () => {
  const log = await chronicle.openChronicle(inFolder('a.sage'));
  await log.append(event(1));
  const controller = new AbortController();
  const following = log.follow({ from: 'end', signal: controller.signal });
  const waiting = following.next();
  controller.abort(new Error('enough'));
  expect(await waiting).toEqual({ done: true, value: undefined });
  await expect(log.read({ signal: controller.signal })).rejects.toThrow('enough');
  await log.close();
});

test('a schema and a clock of this realm are taken by their shape', async () => {
  const validate = async (value) =>
    value.n > 0 ? { value } : { issues: [{ message: 'too small', path: ['n'] }] };
  const log = await chronicle.openChronicle(inFolder('a.sage'), {
    validate: { '~standard': { version: 1, vendor: 'jest', validate } },
    clock: { now: () => new Date(1e12) },
  });
  await log.append({ type: 'X', n: 1 });
  await expect(log.append({ type: 'X', n: 0 })).rejects.toThrow('n: too small');
  expect(await log.read()).toMatchObject([{ n: 1, timestamp: new Date(1e12).toISOString() }]);
  await log.close();
});
