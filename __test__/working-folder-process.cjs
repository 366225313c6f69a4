// Run by working-folder.spec.ts: one part in one process, whose working folder goes or changes.
'use strict';

const { rmdirSync } = require('node:fs');
const { join } = require('node:path');
const chronicle = require('..');
const { makeChronicle } = require('../testing.js');

const [part, folder] = process.argv.slice(2);

const note = (n) => ({
  type: 'NOTE',
  timestamp: '2026-01-01T00:00:00Z',
  actor: { agent: 'a', id: 'b' },
  n,
});

function loseWorkingFolder() {
  process.chdir(join(folder, 'work'));
  rmdirSync(join(folder, 'work'));
}

async function all(iterator) {
  let count = 0;
  for await (const _ of iterator) count += 1;
  return count;
}

const parts = {
  async relative() {
    loseWorkingFolder();
    const path = 'log.sage';
    const calls = {
      append: () => chronicle.append(path, note(1)),
      appendEvents: () => chronicle.appendEvents(path, [note(1)]),
      appendEventSync: () => chronicle.appendEventSync(path, note(1)),
      appendWithCausalChain: () => chronicle.appendWithCausalChain(path, note(1)),
      atomicAppendEvent: () => chronicle.atomicAppendEvent(path, note(1)),
      adapterAppend: () => chronicle.createAdapter().append(path, note(1)),
      read: () => chronicle.readChronicle(path),
      tail: () => chronicle.tailChronicle(path),
      query: () => chronicle.queryChronicle(path, {}),
      count: () => chronicle.countEvents(path),
      stream: () => all(chronicle.streamChronicle(path)),
      follow: () => chronicle.followChronicle(path).next(),
      buildCausalChain: () => chronicle.buildCausalChain(path),
      validateCausalChain: () => chronicle.validateCausalChain(path),
      getChainTail: () => chronicle.getChainTail(path),
      getCompleteChain: () => chronicle.getCompleteChain(path, 'x'),
      verify: () => chronicle.verifyChronicle(path),
      analyze: () => chronicle.analyzeChronicle(path),
      repair: () => chronicle.repairChronicle(path),
      deduplicate: () => chronicle.deduplicateConsecutiveEvents(path),
      lock: () => chronicle.lockChronicles([path]),
      open: () => chronicle.openChronicle(path),
      readChronicleFile: () => chronicle.readChronicleFile(path),
      adapter: async () => chronicle.createAdapter({ baseDir: 'relative' }),
      fake: async () => makeChronicle({ baseDir: 'relative' }),
      fakeCount: async () => makeChronicle().getEventCount(path),
    };
    const seen = {};
    for (const [name, call] of Object.entries(calls)) {
      try {
        seen[name] = { resolved: await call() };
      } catch (error) {
        const { code, cause, written, path: place } = error;
        seen[name] = { name: error.name, code, cause: cause?.code, written, path: place };
      }
    }
    return seen;
  },

  async absolute() {
    loseWorkingFolder();
    const path = join(folder, 'log.sage');
    await chronicle.append(path, note(1));
    const read = (await chronicle.readChronicle(path)).length;
    const adapter = chronicle.createAdapter({ baseDir: folder });
    await adapter.append('log.sage', note(2));
    const given = [
      (await adapter.read('log.sage')).length,
      (await adapter.tail('log.sage')).length,
    ];
    const handle = await chronicle.openChronicle(path);
    await handle.append(note(3));
    const { length } = await handle.read();
    await handle.close();
    await chronicle.appendWithCausalChain(path, note(4));
    const chain = (await chronicle.buildCausalChain(path)).length;
    const lock = await chronicle.lockChronicles([path]);
    const { seq } = await lock.append(path, note(5));
    await lock.release();
    const fake = makeChronicle({ baseDir: folder });
    await fake.append('fake.sage', note(6));
    const follow = chronicle.followChronicle(path);
    const { value } = await follow.next();
    await follow.return();
    return {
      read,
      adapter: given,
      handle: length,
      chain,
      lock: seq,
      fake: fake.getEventCount('fake.sage'),
      follow: value.n - 1,
    };
  },

  async changed() {
    process.chdir(join(folder, 'work'));
    const lock = await chronicle.lockChronicles(['a.sage', 'b.txt']);
    process.chdir(join(folder, 'other'));
    const seq = [];
    for (const path of [lock.paths[0], join(folder, 'work', 'a.sage')]) {
      seq.push((await lock.append(path, note(seq.length))).seq);
    }
    seq.push((await lock.append(lock.paths[1], note(2))).seq);
    let code;
    try {
      await lock.append('c.sage', note(9));
    } catch (error) {
      ({ code } = error);
    }
    await lock.release();
    const { length } = await chronicle.readChronicle(join(folder, 'work', 'a.sage'));
    return { seq, code, records: length };
  },
};

parts[part]().then((seen) => process.stdout.write(JSON.stringify(seen)));
