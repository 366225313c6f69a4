// Run by realm.spec.ts: one part in one process.
'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const { channel } = require('node:diagnostics_channel');
const { join } = require('node:path');

const [part, folder, order] = process.argv.slice(2);

const note = (n, more = {}) => ({
  type: 'NOTE',
  timestamp: new Date(1_700_000_000_000 + n).toISOString(),
  actor: { agent: 'a', id: 'b' },
  n,
  ...more,
});

/** What calls of every kind give, with what differs between two runs taken away. */
async function results(chronicle, name) {
  const path = join(folder, `${name}.sage`);
  const other = join(folder, `${name}.txt`);
  const seen = [];
  const take = async (what, work) => {
    try {
      seen.push([what, await work()]);
    } catch (error) {
      const { code, message, written, index, line } = {
        __proto__: null,
        ...error,
        message: error?.message,
      };
      seen.push([what, { code, message, written, index, line }]);
    }
  };
  const collect = async (iterator) => {
    const events = [];
    for await (const event of iterator) events.push(event);
    return [events, iterator.cursor !== undefined];
  };
  const { append, appendEvents, createAdapter, openChronicle } = chronicle;
  await take('append', () => append(path, note(1)));
  await take('again', () => append(path, note(1)));
  await take('many', () => appendEvents(path, [note(2), note(3, { tags: ['x'] })]));
  await take('sync', () => chronicle.appendEventSync(path, note(4)));
  await take('chain', () => append(path, note(5), { chain: true }));
  await take('bad', () => append(path, { type: 'X' }));
  await take('conflict', () => append(path, note(6), { expectedTail: 'none' }));
  await take('read', () => chronicle.readChronicle(path));
  await take('tail', () => chronicle.tailChronicle(path, 2, { positions: true }));
  await take('query', () => chronicle.queryChronicle(path, { type: 'NOTE', tags: ['x'] }));
  await take('count', () => chronicle.countEvents(path, { actor: { agent: 'a' } }));
  await take('stream', () => collect(chronicle.streamChronicle(path, { from: { seq: 3 } })));
  await take('on', async () => {
    const stream = chronicle.streamChronicle(path);
    await stream.next();
    return collect(chronicle.streamChronicle(path, { from: { cursor: stream.cursor } }));
  });
  await take('follow', async () => {
    const follow = chronicle.followChronicle(path, { from: 'start' });
    const { value } = await follow.next();
    await follow.return();
    return value;
  });
  await take('handle', async () => {
    const log = await openChronicle(path);
    const events = await log.read();
    const more = [await log.append(note(7)), await log.query({ type: 'NOTE' })];
    await log.close();
    return [events, more];
  });
  await take('adapter', async () => {
    const log = createAdapter({ anyExtension: true });
    await log.append(other, note(8));
    return log.read(other);
  });
  await take('lock', async () => {
    const lock = await chronicle.lockChronicles([path, other]);
    const receipt = await lock.append(path, note(9));
    await lock.release();
    return receipt;
  });
  await take('verify', () => chronicle.verifyChronicle(path));
  await take('analyze', () => chronicle.analyzeChronicle(path));
  await take('repair', () => chronicle.repairChronicle(path, { dryRun: true }));
  await take('chained', () => chronicle.validateCausalChain(path));
  await take('links', () => chronicle.buildCausalChain(path));
  await take('linked', () => chronicle.appendWithCausalChain(path, note(10)));
  await take('duplicates', () => chronicle.batchCheckDuplicates(path, ['x']));
  await take('hash', () => chronicle.computeChronicleHash([note(1), note(2)]));
  await take('ids', () => chronicle.computeEventIds([note(1), note(2)]));
  await take('stats', () => Object.keys(chronicle.chronicleStats()));
  return seen.map(([what, value]) => [
    what,
    JSON.stringify(value)?.replaceAll(`${name}.`, 'NAME.'),
  ]);
}

const NAMES =
  `ok error cancelled warnings code message cause path written waitedMs holderPid index line
  offset positions tail limit skip reverse lines count from to where signal onBadLine anyExtension first
  single cursor start endsOnAbort lockTimeoutMs computeId idempotencyKey chain expectedTail onIdReuse
  durability agent actor actorId id eventId prevEventId since until planHash clock validate baseDir lenient
  requireId seen largestEvent timeRange omitted removedOmitted file state idle trouble done bad places
  onProgress onFile onCaughtUp isEndless windowSize dryRun removeDuplicates createBackup repairCausalChain
  timestamp mode memory text type tags leMs issues closing end actualTail seq`.split(/\s+/);

// Names that all objects have at one time.
const GROUP = 6;

const parts = {
  async prototype() {
    const chronicle = require('..');
    const expected = await results(chronicle, 'run-0');
    const different = [];
    for (let first = 0; first < NAMES.length; first += GROUP) {
      const names = NAMES.slice(first, first + GROUP);
      for (const [i, name] of names.entries()) Object.prototype[name] = i % 2 === 0 ? 'text' : 7;
      let seen;
      try {
        seen = await results(chronicle, `run-${first + 1}`);
      } finally {
        for (const name of names) delete Object.prototype[name];
      }
      for (const [i, [what, text]] of expected.entries()) {
        if (seen[i][1] !== text) different.push([names, what, text, seen[i][1]]);
      }
    }
    return { names: NAMES.length, different };
  },

  async inherited() {
    const { append, tailChronicle } = require('..');
    const path = join(folder, 'log.txt');
    class Options {
      get anyExtension() {
        return true;
      }
    }
    await append(path, note(1), { anyExtension: true });
    const own = await tailChronicle(path, 1, { anyExtension: true });
    const ofClass = await tailChronicle(path, 1, new Options());
    return { own: own.length, ofClass: ofClass.length };
  },

  async toJSON() {
    const chronicle = require('..');
    const different = [];
    for (const prototype of [Array.prototype, Object.prototype]) {
      let seen;
      // The events are the caller's: what they say of themselves counts.
      prototype.toJSON = function toJSON() {
        const isEvent = Object.hasOwn(this, 'timestamp') || Object.hasOwn(this, 'agent');
        return isEvent || this.includes?.('x') ? this : 'toJSON';
      };
      try {
        seen = await (async () => {
          const path = join(folder, 'with.sage');
          await chronicle.appendEvents(path, [note(1), note(2, { tags: ['x'] })]);
          const stream = chronicle.streamChronicle(path, { from: { seq: 1 } });
          await stream.next();
          const { cursor } = stream;
          const rest = [];
          for await (const event of chronicle.streamChronicle(path, { from: { cursor } }))
            rest.push(event.n);
          const found = await chronicle.queryChronicle(path, { type: ['NOTE'], tags: ['x'] });
          const lock = await chronicle.lockChronicles([path], { lockTimeoutMs: 500 });
          await lock.release();
          return [rest, found.map(({ n }) => n)].flat();
        })();
      } finally {
        delete prototype.toJSON;
      }
      if (seen.length !== 2 || seen[0] !== 2 || seen[1] !== 2) different.push(seen);
    }
    return { different };
  },

  async timers() {
    let fakes = 0;
    const never = () => void (fakes += 1);
    const install = () => {
      const names = ['setImmediate', 'setTimeout', 'setInterval'];
      for (const object of [globalThis, require('node:timers')])
        for (const name of names) object[name] = never;
      const promises = require('node:timers/promises');
      for (const name of names)
        promises[name] = () => {
          never();
          return new Promise(() => {});
        };
    };
    if (order === 'before') install();
    const chronicle = require('..');
    if (order === 'after') install();
    const path = join(folder, 'log.sage');
    const events = Array.from({ length: 20_000 }, (_, n) => note(n));
    await chronicle.appendEvents(path, events, { durability: 'os' });
    const read = await chronicle.readChronicle(path);
    let streamed = 0;
    for await (const _ of chronicle.streamChronicle(path)) streamed += 1;
    const { ok } = await chronicle.verifyChronicle(path);
    const ids = await chronicle.computeEventIds(events);
    const hash = await chronicle.computeChronicleHash(events);
    globalThis.setTimeout();
    return { fakes, read: read.length, streamed, ok, ids: ids.length, hash: hash.length };
  },

  async turns() {
    const { yieldToEventLoop } = require('../lib/binding/event-loop.js');
    let loops = 0;
    let over = false;
    const loop = () => {
      loops += 1;
      if (!over) setImmediate(loop);
    };
    setImmediate(loop);
    let turns = 0;
    for (; turns < 100; turns += 1) await yieldToEventLoop();
    over = true;
    return { turns, loops };
  },

  async context() {
    const { append } = require('..');
    const storage = new AsyncLocalStorage();
    const path = join(folder, 'log.sage');
    const stores = [];
    let batches = 0;
    channel('sage:chronicle:batch').subscribe(() => {
      batches += 1;
      if (storage.getStore() !== undefined) stores.push(storage.getStore().name);
    });
    let collected = false;
    const registry = new FinalizationRegistry(() => (collected = true));
    await (async () => {
      const store = { name: 'first' };
      registry.register(store, undefined);
      await storage.run(store, () => append(path, note(1)));
    })();
    await storage.run({ name: 'second' }, () => append(path, note(2)));
    for (let i = 0; i < 200 && !collected; i += 1) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return { batches, stores, collected };
  },
};

parts[part]().then((seen) => process.stdout.write(JSON.stringify(seen)));
