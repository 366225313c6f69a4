// The same package through its `require` condition, from a file that is CommonJS.
import chronicle = require('@sage/chronicle');

declare module '@sage/chronicle' {
  interface ChronicleEventMap {
    CJS_ONLY: chronicle.ChronicleEventBase & { type: 'CJS_ONLY'; proof: number };
  }
}

const envelope = { timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'sage', id: 'one' } };

void chronicle.append('plans.sage', { type: 'CJS_ONLY', proof: 1, ...envelope });
// @ts-expect-error a required payload field of an augmented type is missing
void chronicle.append('plans.sage', { type: 'CJS_ONLY', ...envelope });
// @ts-expect-error a wrong literal
void chronicle.append('plans.sage', { type: 'BUILD', status: 'done', ...envelope });
