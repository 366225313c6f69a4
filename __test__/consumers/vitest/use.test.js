import * as chronicle from '@sage/chronicle';
import { expect, test } from 'vitest';
import { useChronicle } from './use.mjs';

test('the package works in a test of Vitest', async () => {
  await useChronicle(chronicle);
});

test('its errors are those of this realm', async () => {
  await expect(chronicle.readChronicle('log.txt')).rejects.toBeInstanceOf(Error);
  await expect(chronicle.readChronicle('log.txt')).rejects.toThrow(chronicle.ChronicleError);
});
