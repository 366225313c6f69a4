// What the tests of two versions share.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

/** Both orders of the versions. */
export const orders = [
  ['old', 'new'],
  ['new', 'old'],
];

/** How the tests name a version. */
export const named = { old: 'the version before', new: "today's build" };

export const note = (mark, extra = {}) => ({
  type: 'NOTE_TAKEN',
  timestamp: '2026-01-02T03:04:05.678Z',
  actor: { agent: 'test', id: 'member' },
  mark,
  ...extra,
});

export const notes = (prefix, count, extra) =>
  Array.from({ length: count }, (_, n) => note(`${prefix}:${n}`, extra));

export const marksOf = (events) => events.map(({ mark }) => mark);

/** The marks of the file, read without the package; each of its lines must be a record. */
export function marksIn(path) {
  const lines = readFileSync(path, 'utf8').split('\n');
  assert.equal(lines.pop(), '', 'the last line is ended');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line).mark);
}

/** The error of a promise that must reject. */
export async function failure(promise) {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  assert.ok(outcome.error, `resolved with ${JSON.stringify(outcome.value)}`);
  return outcome.error;
}
