'use strict';

const { makeChronicle, matchers } = require('../../testing.js');

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
