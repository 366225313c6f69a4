'use strict';

const fs = require('node:fs');
const chronicle = require('../../index.js');
const { event, temporaryFolder } = require('./folder.js');

const inFolder = temporaryFolder();

test('an appended event is read back, with its id', async () => {
  const path = inFolder('a.sage');
  const receipt = await chronicle.append(path, event(1));
  expect(receipt).toEqual({
    eventId: await chronicle.computeEventId(event(1)),
    seq: 1,
    offset: 0,
    length: fs.statSync(path).size - 1,
    duplicate: false,
    identical: true,
    durable: true,
  });
  const events = await chronicle.readChronicle(path);
  expect(events).toEqual([{ ...event(1), eventId: receipt.eventId }]);
  expect(await chronicle.verifyEventId(events[0])).toBe(true);
});

test('the second append of an event is a duplicate', async () => {
  const path = inFolder('a.sage');
  const first = await chronicle.append(path, event(1));
  const second = await chronicle.append(path, event(1));
  expect(second).toEqual({ ...first, duplicate: true });
  expect(fs.readFileSync(path, 'utf8').split('\n')).toHaveLength(2);
});

test('many appends in flight are all acknowledged, and the tail is the end', async () => {
  const path = inFolder('a.sage');
  const events = Array.from({ length: 200 }, (_, number) => event(number));
  const receipts = await Promise.all(events.map((each) => chronicle.append(path, each)));
  expect(new Set(receipts.map((receipt) => receipt.seq)).size).toBe(200);
  const all = await chronicle.readChronicle(path);
  expect(all).toHaveLength(200);
  expect(await chronicle.tailChronicle(path, 3)).toEqual(all.slice(-3));
});

test('a batch and a synchronous append work too', async () => {
  const path = inFolder('a.sage');
  const receipts = await chronicle.appendEvents(path, [event(1), event(2)]);
  expect(receipts.map((receipt) => receipt.seq)).toEqual([1, 2]);
  expect(chronicle.appendEventSync(path, event(3)).seq).toBe(3);
  expect(chronicle.flushSync()).toBe(true);
});

test('what comes back belongs to the realm of the test', async () => {
  const path = inFolder('a.sage');
  const promise = chronicle.append(path, event(1));
  expect(promise).toBeInstanceOf(Promise);
  expect(await promise).toBeInstanceOf(Object);
  const receipts = await chronicle.appendEvents(path, [event(2)]);
  expect(receipts).toBeInstanceOf(Array);
  const events = await chronicle.readChronicle(path, { positions: true });
  expect(events).toBeInstanceOf(Array);
  expect(events[0].event).toBeInstanceOf(Object);
});
