// Several copies of the package in one process, as a monorepo has them where its members want
// versions that do not agree. They share nothing but the file and its lock; where a member has the
// package of the platform from the root, the addon too.
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { useChronicle } from './use.mjs';

const scope = 'node_modules/@sage';
for (const [member, names] of Object.entries({ one: ['chronicle'], two: readdirSync(scope) })) {
  for (const name of names) {
    const copy = join('packages', member, scope, name);
    cpSync(join(scope, name), copy, { recursive: true, dereference: true });
  }
}
const from = (folder) => createRequire(resolve(folder, 'index.js'))('@sage/chronicle');
const [hoisted, one, two] = ['.', 'packages/one', 'packages/two'].map(from);
const equal = (what, found, wanted) => {
  if (found !== wanted) throw new Error(`${what}: ${found}, not ${wanted}`);
};
equal('different modules', new Set([hoisted, one, two].map(({ append }) => append)).size, 3);

const folder = mkdtempSync(join(tmpdir(), 'chronicle-copies-'));
try {
  const path = join(folder, 'log.sage');
  const event = (id) => ({
    type: 'NOTE',
    timestamp: '2026-01-02T03:04:05.000Z',
    actor: { agent: 'copies', id: String(id) },
  });

  // Each appends all of them, so that most are there already.
  const numbers = Array.from({ length: 300 }, (_, n) => n);
  const options = { lockTimeoutMs: 60_000 };
  const receipts = await Promise.all(
    [hoisted, one, two].flatMap((copy) => numbers.map((n) => copy.append(path, event(n), options))),
  );
  const written = receipts.filter(({ duplicate }) => !duplicate);
  equal('records written', written.length, numbers.length);
  equal('their numbers', new Set(written.map(({ seq }) => seq)).size, numbers.length);
  equal('records read', (await two.readChronicle(path)).length, numbers.length);
  equal('the log is good', (await hoisted.verifyChronicle(path)).findings.length, 0);

  // The lock of one keeps the other out, which waits without holding the thread, and takes over
  // when it is released.
  const lock = await one.lockChronicles([path]);
  const error = await two.append(path, event('late'), { lockTimeoutMs: 50 }).catch((e) => e);
  equal('isChronicleError of the other copy', one.isChronicleError(error, 'ELOCK_TIMEOUT'), true);
  const waiting = two.append(path, event('late'), options);
  await lock.append(path, event('locked'));
  await lock.release();
  equal('the place of the append that waited', (await waiting).seq, numbers.length + 2);
  await useChronicle(two);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
