// Run by `bun test`.
import { expect, test } from 'bun:test';
import { makeChronicle, matchers } from '@sage/chronicle/testing';

expect.extend(matchers);

test('the matchers pass and fail', async () => {
  const chronicle = makeChronicle();
  await chronicle.append('any.sage', { type: 'FREE', n: 1 });
  const events = await chronicle.read('any.sage');
  expect(events).toContainEvent({ type: 'FREE', n: 1 });
  expect(() => expect(events).toContainEvent({ type: 'OTHER' })).toThrow();
});
