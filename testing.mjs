// Written by `npm run exports`. One native instance: the names are those of testing.js.
import testing from './testing.js';

export const {
  makeChronicle,
  matchers,
  openMemoryChronicle,
  toContainEvent,
  toHaltOnContradiction,
  toMaintainCausalChain,
  toReconcileChanges,
  toStampUnsafe,
} = testing;
