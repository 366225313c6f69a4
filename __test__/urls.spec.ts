// A `file:` URL names a chronicle wherever a path does.
import { existsSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import * as chronicle from '../index.mjs';
import { makeChronicle } from '../testing.mjs';
import { event, expectCode, folder, freshPath, rejection, thrown } from './support.js';

const numbered = (n: number) => event({ n });

it('is a path for every function', async () => {
  const path = join(folder(), 'a b#ü.sage');
  const url = pathToFileURL(path);
  const receipt = await chronicle.append(url, numbered(1));
  await chronicle.appendEvents(url, [numbered(2)]);
  await chronicle.appendEvent(url, numbered(3));
  expect(chronicle.appendEventSync(url, numbered(4)).seq).toBe(4);
  expect(await chronicle.appendEvents(url, [])).toEqual([]);
  expect(await chronicle.readChronicle(path)).toHaveLength(4);
  expect(await chronicle.readChronicle(url)).toHaveLength(4);
  expect(await chronicle.tailChronicle(url, 1)).toMatchObject([{ n: 4 }]);
  expect(await chronicle.tailChronicle(url, 0)).toEqual([]);
  expect(await chronicle.queryChronicle(url, { eventId: receipt.eventId! })).toHaveLength(1);
  expect(await chronicle.countEvents(url)).toBe(4);
  for (const iterator of [chronicle.streamChronicle(url), chronicle.followChronicle(url)]) {
    expect((await iterator.next()).value).toMatchObject({ n: 1 });
    await iterator.return!();
  }
  expect((await chronicle.verifyChronicle(url)).records).toBe(4);
  expect((await chronicle.analyzeChronicle(url)).totalEvents).toBe(4);
  expect((await chronicle.repairChronicle(url, { dryRun: true })).plan.removed).toEqual([]);
  expect(chronicle.validateChroniclePath(url)).toBe(path);
  await chronicle.appendWithCausalChain(url, { ...numbered(5) });
  const lock = await chronicle.lockChronicles([url]);
  await lock.append(url, numbered(6));
  await lock.release();
  expect(lock.paths).toEqual([path]);
  const log = await chronicle.openChronicle(url);
  expect(await log.read()).toHaveLength(6);
  expect(log.path).toBe(path);
  await log.close();
});

it('is a path for adapters and for the test double', async () => {
  const path = freshPath();
  const url = pathToFileURL(path);
  for (const log of [chronicle.createAdapter({ baseDir: dirname(path) }), makeChronicle()]) {
    await log.append(url, { type: 'X' });
    expect(await log.read(path)).toHaveLength(1);
    expect(await log.query(url, { type: 'X' })).toHaveLength(1);
  }
  const double = makeChronicle();
  await double.append(url, { type: 'X' });
  expect(double.getEventCount(url)).toBe(1);
  expect(double.getAllPaths()).toEqual([path]);
});

it('is recognised by its shape, as those of other realms are', async () => {
  const path = freshPath();
  writeFileSync(path, '{"n":1}\n');
  const { href } = pathToFileURL(path);
  const foreign = runInNewContext('({ href, protocol: "file:" })', { href });
  expect(await chronicle.readChronicle(foreign)).toEqual([{ n: 1 }]);
});

it('is refused with another scheme, with a host, and without .sage, before anything is touched', async () => {
  const path = freshPath();
  for (const href of [
    'https://example.org/a.sage',
    'file://host/a.sage',
    'file:///a%2Fb.sage',
    `${pathToFileURL(path)}.txt`,
  ]) {
    const url = new URL(href);
    const error = expectCode(await rejection(chronicle.append(url, event())), 'EVALIDATION');
    expect(error).toMatchObject({ written: 'no' });
    expectCode(await rejection(chronicle.readChronicle(url)), 'EVALIDATION');
    expectCode(
      thrown(() => chronicle.validateChroniclePath(url)),
      'EVALIDATION',
    );
  }
  const trap = {
    get href() {
      throw new Error('trap');
    },
  };
  for (const wrong of [trap, {}, { href: 5, protocol: 'file:' }, Buffer.from(path)]) {
    expectCode(await rejection(chronicle.readChronicle(wrong as never)), 'EVALIDATION');
  }
  expect(existsSync(path)).toBe(false);
});

it('is text in what is published about an append', async () => {
  const { subscribe, unsubscribe } = createRequire(import.meta.url)('node:diagnostics_channel');
  const path = freshPath();
  const seen: string[] = [];
  const see = (message: any) => seen.push(message.path);
  subscribe('sage:chronicle:append', see);
  try {
    await chronicle.append(pathToFileURL(path), event());
  } finally {
    unsubscribe('sage:chronicle:append', see);
  }
  expect(seen).toEqual([path]);
});
