// One instance: the names are those of the CommonJS module.
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
