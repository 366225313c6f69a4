'use strict';

const fs = require('node:fs');
const path = require('node:path');
const chronicle = require('../../index.js');
const { event, temporaryFolder } = require('./folder.js');

const inFolder = temporaryFolder();

/** The error a promise rejects with. */
const rejection = (promise) =>
  promise.then(
    () => {
      throw new Error('it was not rejected');
    },
    (error) => error,
  );

test('an error is an Error of this realm', async () => {
  const error = await rejection(chronicle.append(inFolder('a.txt'), event(1)));
  expect(error).toBeInstanceOf(Error);
  expect(error).toBeInstanceOf(chronicle.ChronicleError);
  expect(error).toMatchObject({ name: 'ChronicleError', code: 'EVALIDATION' });
  expect(chronicle.isChronicleError(error, 'EVALIDATION')).toBe(true);
});

test('the cause of an append that the system refused is an Error of this realm', async () => {
  fs.writeFileSync(inFolder('file'), '');
  const error = await rejection(chronicle.append(path.join(inFolder('file'), 'a.sage'), event(1)));
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ code: 'EIO', written: 'no' });
  expect(error.cause).toBeInstanceOf(Error);
  expect(error.cause.code).toMatch(/^E[A-Z]+$/);
});

test('the cause of a read that the system refused is an Error of this realm', async () => {
  const name = `${'x'.repeat(300)}.sage`;
  const error = await rejection(chronicle.readChronicle(inFolder(name)));
  expect(error).toBeInstanceOf(Error);
  expect(error.code).toBe('EIO');
  expect(error.cause).toBeInstanceOf(Error);
  expect(error.cause.code).toBe('ENAMETOOLONG');
});

test('a synchronous append throws an Error of this realm', () => {
  expect(() => chronicle.appendEventSync(inFolder('a.txt'), event(1))).toThrow(Error);
  expect(() => chronicle.appendEventSync(inFolder('a.txt'), event(1))).toThrow(
    chronicle.ChronicleError,
  );
});

test('a corrupt line rejects with an Error of this realm', async () => {
  fs.writeFileSync(inFolder('a.sage'), '{"type":"A"}\nnot json\n');
  const error = await rejection(
    chronicle.readChronicle(inFolder('a.sage'), { onBadLine: 'throw' }),
  );
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ code: 'ECORRUPT', line: 2, offset: 13 });
});

test('the stack of a rejection names the caller', async () => {
  async function theCaller() {
    return await chronicle.append(inFolder('a.txt'), event(1));
  }
  const error = await rejection(theCaller());
  expect(error.stack).toMatch(/theCaller/);
});
