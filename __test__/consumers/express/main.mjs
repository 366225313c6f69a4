// The recipes for Express and pino, which scripts/platforms/consumers.mjs puts beside this file.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import express from 'express';
import pino from 'pino';
import * as chronicle from '@sage/chronicle';
import { auditLog } from './audit-log.mjs';
import { chronicleDestination, pinoOptions } from './pino-destination.mjs';
import { useChronicle } from './use.mjs';

const app = express();
app.use(auditLog('audit.sage', { userOf: (request) => request.get('x-user') }));
app.post('/orders/:id', (request, response) => response.json({ id: request.params.id }));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;
const ids = Array.from({ length: 20 }, (_, n) => String(n));
const answers = await Promise.all(
  ids.map(async (id) => {
    const options = { method: 'POST', headers: { 'x-user': 'ann' } };
    return (await (await fetch(`${url}/orders/${id}`, options)).json()).id;
  }),
);
assert.deepEqual(answers, ids);
assert.equal((await fetch(`${url}/nothing`)).status, 404);
server.close();
await once(server, 'close');
chronicle.flushSync();
const received = await chronicle.queryChronicle('audit.sage', { type: 'REQUEST_RECEIVED' });
assert.deepEqual(
  received.map(({ url: path }) => path).sort(),
  [...ids.map((id) => `/orders/${id}`), '/nothing'].sort(),
);
assert.equal(await chronicle.countEvents('audit.sage', { type: 'REQUEST_ANSWERED' }), 21);
assert.equal(received.filter(({ user }) => user === 'ann').length, 20);

const logger = pino(pinoOptions, chronicleDestination('app.sage'));
logger.info({ orderId: 7 }, 'order placed');
logger.error(new Error('no stock'));
chronicle.flushSync();
const [placed, failed] = await chronicle.queryChronicle('app.sage', { type: 'LOG' });
assert.deepEqual([placed.msg, placed.orderId, failed.err.message], ['order placed', 7, 'no stock']);
assert.equal((await chronicle.verifyChronicle('app.sage')).ok, true);
await useChronicle(chronicle);
