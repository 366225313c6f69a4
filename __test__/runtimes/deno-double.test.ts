// Run by `deno test`, which checks the types first.
import { makeChronicle, toContainEvent } from '@sage/chronicle/testing';
import { append, type Receipt } from '@sage/chronicle';

Deno.test('the double, its check and the types', async () => {
  const chronicle = makeChronicle();
  await chronicle.append('any.sage', { type: 'FREE', n: 1 });
  const events = await chronicle.read('any.sage');
  const { pass } = toContainEvent(events, { type: 'FREE', n: 1 });
  if (!pass) throw new Error('the event is not there');
});

// @ts-expect-error a path is a string
export const wrong = (): Promise<Receipt> => append(1, { type: 'FREE' });
