// Run by the versions of Node.js that know the syntax: what `await using` ends is closed.
import assert from 'node:assert/strict';
import { append, isChronicleError, lockChronicles, openChronicle } from '@sage/chronicle';

const path = 'using.sage';
const actor = { agent: 'node', id: process.versions.node };
const event = (mark) => ({ type: 'NOTE_TAKEN', timestamp: '2026-01-02T03:04:05Z', actor, mark });

let kept;
{
  await using log = await openChronicle(path);
  kept = log;
  await log.append(event('one'));
}
assert.ok(isChronicleError(await kept.read().catch((error) => error), 'ECLOSED'));
{
  await using lock = await lockChronicles([path]);
  await lock.append(path, event('two'));
}
assert.equal((await append(path, event('three'), { lockTimeoutMs: 0 })).seq, 3);
