// Written by `npm run exports`. One native instance: the names are those of testing.js.
import testing from './testing.js';

export const {
  makeChronicle,
  matchers,
  toContainEvent,
  toHaltOnContradiction,
  toMaintainCausalChain,
  toReconcileChanges,
  toStampUnsafe,
} = testing;
