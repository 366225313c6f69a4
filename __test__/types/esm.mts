// The same package through its `import` condition, from a file that is an ES module.
import { append, ErrorCodes, readChronicle } from '@sage/chronicle';
import type { ChronicleEvent, ChronicleEventBase } from '@sage/chronicle';

declare module '@sage/chronicle' {
  interface ChronicleEventMap {
    ESM_ONLY: ChronicleEventBase & { type: 'ESM_ONLY'; proof: number };
  }
}

const envelope = { timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'sage', id: 'one' } };

await append('plans.sage', { type: 'ESM_ONLY', proof: 1, ...envelope });
// @ts-expect-error a required payload field of an augmented type is missing
await append('plans.sage', { type: 'ESM_ONLY', ...envelope });
// @ts-expect-error a wrong literal
await append('plans.sage', { type: 'BUILD', status: 'done', ...envelope });

const events: ChronicleEvent[] = await readChronicle('plans.sage');
for (const event of events) if (event.type === 'ESM_ONLY') event.proof.toFixed();

const code: 'EIO' = ErrorCodes.EIO;
export { code };
