'use strict';

// Uses the package, and prints what kinds of values each function of the addon gave:
// [["Port.drain", "array"], ...].
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { types } = require('node:util');
const binding = require('../binding.js');

const given = new Set();

function kindOf(value) {
  if (typeof value !== 'object' || value === null)
    return String(value === null ? value : typeof value);
  if (types.isExternal(value)) return 'external';
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return 'bytes';
  return Array.isArray(value) ? 'array' : 'object';
}

function note(name, value) {
  given.add(JSON.stringify([name, kindOf(value)]));
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    for (const part of Object.values(value)) note(name, part);
  }
  return value;
}

function watch(holder, name, label) {
  const original = holder[name];
  holder[name] = function (...args) {
    return note(label, original.apply(this, args));
  };
}

for (const [name, value] of Object.entries(binding)) {
  if (typeof value !== 'function') continue;
  const methods = Object.getOwnPropertyNames(value.prototype ?? {}).filter(
    (method) => method !== 'constructor',
  );
  if (methods.length === 0 && name[0] === name[0].toLowerCase()) watch(binding, name, name);
  for (const method of methods) watch(value.prototype, method, `${name}.${method}`);
}

const chronicle = require('../index.js');
const { useChronicle } = require('./consumers/use.cjs');

const event = (id) => ({
  type: 'NOTE',
  timestamp: 't',
  actor: { agent: 'a', id },
  text: 'x'.repeat(100_000),
});

(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chronicle-crossing-'));
  try {
    const path = join(folder, 'log.sage');
    await useChronicle(chronicle);
    await chronicle.appendEvents(path, ['1', '2', '3'].map(event), { chain: true });
    await chronicle.tailChronicle(path, 2, { positions: true });
    await chronicle.queryChronicle(path, { type: 'NOTE' }, { reverse: true });
    await chronicle.verifyChronicle(path);
    await chronicle.analyzeChronicle(path);
    await chronicle.repairChronicle(path, { removeDuplicates: true });
    chronicle.computeEventIds([event('4')]);
    chronicle.canonicalizeEvent(event('4'));
    chronicle.chronicleStats();
    const lock = await chronicle.lockChronicles([path]);
    await lock.append(path, event('5'));
    await lock.release();
    chronicle.flushSync();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.send?.([...given].map((text) => JSON.parse(text)));
})();
