// The least that a program does with the package.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { append } from '@sage/chronicle';

const event = { type: 'NOTE', timestamp: new Date().toISOString(), actor: { agent: 'a', id: '1' } };
const { seq } = await append(join(mkdtempSync(join(tmpdir(), 'consumer-')), 'log.sage'), event);
console.log(`record ${seq}`);
