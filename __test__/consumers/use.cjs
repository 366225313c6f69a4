'use strict';

// What every project here does with the installed package, in the realm and the bundle that it
// finds itself in. Node's own assertions throw errors of their own realm, so the few that are
// needed are made here.
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

function equal(what, found, wanted) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`${what}: ${left}, not ${right}`);
}

const event = (id) => ({
  type: 'BUILD',
  timestamp: '2026-01-02T03:04:05.000Z',
  actor: { agent: 'consumer', id },
  status: 'success',
});

/** The error that a promise rejects with. */
const rejection = (promise) =>
  promise.then(
    () => {
      throw new Error('it was not rejected');
    },
    (error) => error,
  );

async function appendsAndReads({ append, appendEventSync, readChronicle, verifyEventId }, path) {
  const first = await append(path, event('first'));
  const again = appendEventSync(path, event('first'));
  const events = await readChronicle(path);
  equal('the receipt', [first.seq, first.duplicate, first.durable], [1, false, true]);
  equal('the receipt of a retry', [again.seq, again.duplicate], [1, true]);
  equal(
    'the records',
    events.map(({ eventId, actor }) => [eventId, actor.id]),
    [[first.eventId, 'first']],
  );
  equal('the id verifies', await verifyEventId(events[0]), true);
}

async function follows({ append, followChronicle }, path) {
  const controller = new AbortController();
  const seen = [];
  for await (const { actor } of followChronicle(path, { signal: controller.signal })) {
    seen.push(actor.id);
    if (seen.length === 1) await append(path, event('second'));
    else controller.abort();
  }
  equal('what was followed', seen, ['first', 'second']);
}

async function refuses({ append, readChronicle, ChronicleError, isChronicleError }, folder) {
  const refused = await rejection(append(join(folder, 'log.txt'), event('third')));
  writeFileSync(join(folder, 'file'), '');
  const failed = await rejection(append(join(folder, 'file', 'log.sage'), event('third')));
  for (const [error, code] of [
    [refused, 'EVALIDATION'],
    [failed, 'EIO'],
  ]) {
    equal(`${code} instanceof Error`, error instanceof Error, true);
    equal(`${code} instanceof ChronicleError`, error instanceof ChronicleError, true);
    equal(`isChronicleError ${code}`, isChronicleError(error, code), true);
  }
  equal('the cause instanceof Error', failed.cause instanceof Error, true);

  const controller = new AbortController();
  const reason = { given: 'up' };
  controller.abort(reason);
  const { signal } = controller;
  const given = await rejection(readChronicle(join(folder, 'log.sage'), { signal }));
  equal('the reason of the signal', given === reason, true);
}

/** Throws unless all of it works; says so on standard output, so that a test can count it. */
exports.useChronicle = async (chronicle) => {
  const folder = mkdtempSync(join(tmpdir(), 'chronicle-use-'));
  try {
    const path = join(folder, 'logs', 'log.sage');
    await appendsAndReads(chronicle, path);
    await follows(chronicle, path);
    await refuses(chronicle, folder);
    process.stdout.write('chronicle: appended, read, followed, refused\n');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
