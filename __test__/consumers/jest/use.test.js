'use strict';

const chronicle = require('@sage/chronicle');
const { useChronicle } = require('./use.cjs');

test('the package works in a test of Jest', async () => {
  await useChronicle(chronicle);
});

test('its errors are those of this realm', async () => {
  const refused = chronicle.readChronicle('log.txt');
  await expect(refused).rejects.toBeInstanceOf(Error);
  await expect(chronicle.readChronicle('log.txt')).rejects.toThrow(chronicle.ChronicleError);
});
