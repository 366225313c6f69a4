'use strict';

const { makeChronicle, matchers, openMemoryChronicle } = require('../../testing.js');

expect.extend(matchers);

const chronicle = makeChronicle();
afterEach(() => chronicle.clear());

test('a chronicle for tests fills what is missing and finds what was appended', async () => {
  await chronicle.append('a.sage', { type: 'PLAN_UNSAFE', planId: 'p' });
  expect(await chronicle.findEvents('a.sage', { planId: 'p' })).toHaveLength(1);
  expect(chronicle.getAllPaths()).toEqual(['a.sage']);
  const seen = [];
  for await (const event of chronicle.tail('a.sage')) seen.push(event);
  expect(seen).toEqual(await chronicle.read('a.sage'));
  await expect(chronicle.append('a.sage', {})).rejects.toThrow(/^EVALIDATION/);
});

test('a clock may give a Date of this realm', async () => {
  const time = new Date(1e12);
  const timed = makeChronicle({ clock: { now: () => time } });
  await timed.append('a.sage', { type: 'X' });
  expect(await timed.read('a.sage')).toMatchObject([{ timestamp: time.toISOString() }]);
  timed.clear();
});

test('the matchers extend expect', async () => {
  const events = [
    { type: 'ROGUE_EDIT_DETECTED', filePath: 'x' },
    { type: 'RECONCILIATION', filePath: 'x' },
    { type: 'PLAN_UNSAFE', planId: 'p' },
  ];
  expect(events).toContainEvent({ type: 'PLAN_UNSAFE', planId: 'p' });
  expect(events).toMaintainCausalChain();
  expect(events).toStampUnsafe('p');
  expect(events).toReconcileChanges('x');
  expect(events).not.toHaltOnContradiction();
  expect(() => expect(events).toHaltOnContradiction()).toThrow('none found');
  expect(() => expect(events).not.toContainEvent({ filePath: 'x' })).toThrow('Found matching');
});

test('toContainEvent compares as the runner does, and shows the diff of the nearest event', () => {
  const events = [{ type: 'CALL', args: { path: 'x', n: 1 } }, { type: 'OTHER' }];
  expect(events).toContainEvent({ args: { path: expect.any(String), n: 1 } });
  expect(events).toContainEvent({ args: expect.objectContaining({ n: 1 }) });
  const match = () => expect(events).toContainEvent({ type: 'CALL', args: { path: 'y', n: 1 } });
  expect(match).toThrow('Nearest of 2 events, at index 0');
  expect(match).toThrow(/"path": "y"/);
});

test('a chronicle in memory is one of the real thing', async () => {
  const log = await openMemoryChronicle({ clock: { now: () => new Date(1e12) } });
  const event = { type: 'NOTE', actor: { agent: 'a', id: 'b' } };
  expect(await log.append(event)).toMatchObject({ seq: 1, duplicate: false });
  expect(await log.append(event)).toMatchObject({ seq: 1, duplicate: true });
  expect(await log.read()).toMatchObject([{ timestamp: '2001-09-09T01:46:40.000Z' }]);
  await expect(log.append({ type: '' })).rejects.toThrow();
  await log.close();
});
