'use strict';

const { analyzeChronicle, formatAnalysisReport } = require('./check/analyze.js');
const { createAdapter } = require('./handle/adapter.js');
const {
  append,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  appendLines,
  flushSync,
} = require('./append/append.js');
const {
  appendWithCausalChain,
  buildCausalChain,
  getChainTail,
  getCompleteChain,
  validateCausalChain,
} = require('./check/chain.js');
const {
  computeChronicleHash,
  eventsAreIdentical,
  findDuplicateEvents,
} = require('./event/compare.js');
const {
  acquireLock,
  atomicAppendEvent,
  batchCheckDuplicates,
  cleanStaleLocks,
  ensureChronicleDirectory,
  fileExists,
  isDuplicateEvent,
  isDuplicateUsingIndex,
  maintainEventIndex,
  readChronicleFile,
  tailChronicleFile,
} = require('./compat.js');
const { ChronicleError, ErrorCodes, isChronicleError } = require('./binding/errors.js');
const {
  filterEventsByType,
  getEventType,
  hasEventFields,
  isBuildEvent,
  isDeployEvent,
  isEnvvarChangeEvent,
  isFileAddedEvent,
  isFileMergedEvent,
  isFileRemovedEvent,
  isFileRenamedEvent,
  isFileSplitEvent,
  isHaltAndReportEvent,
  isPlanApprovedEvent,
  isPlanDeniedEvent,
  isPlanDraftedEvent,
  isPlanUnsafeEvent,
  isPostmortemEvent,
  isReconciliationEvent,
  isRogueEditDetectedEvent,
} = require('./event/events.js');
const { openChronicle } = require('./handle/handle.js');
const {
  canonicalizeEvent,
  computeEventId,
  computeEventIds,
  verifyEventId,
} = require('./event/identity.js');
const { followBatches, followChronicle } = require('./read/follow.js');
const { lockChronicles } = require('./append/lock.js');
const { validateChroniclePath } = require('./binding/path.js');
const { countEvents, queryChronicle, readChronicle, tailChronicle } = require('./read/read.js');
const { chronicleStats } = require('./check/stats.js');
const { deduplicateConsecutiveEvents, repairChronicle } = require('./check/repair.js');
const { streamChronicle } = require('./read/stream.js');
const { serializeEvent } = require('./event/text.js');
const { verifyChronicle } = require('./check/verify.js');

/** @type {typeof import('../index.d.ts')} */
const chronicle = {
  acquireLock,
  analyzeChronicle,
  append,
  appendEvent,
  appendEvents,
  appendEventSync,
  appendEventWithId,
  appendLines,
  appendWithCausalChain,
  atomicAppendEvent,
  batchCheckDuplicates,
  buildCausalChain,
  canonicalizeEvent,
  ChronicleError,
  chronicleStats,
  cleanStaleLocks,
  computeChronicleHash,
  computeEventId,
  computeEventIds,
  countEvents,
  deduplicateConsecutiveEvents,
  createAdapter,
  ensureChronicleDirectory,
  ErrorCodes,
  eventsAreIdentical,
  fileExists,
  filterEventsByType,
  findDuplicateEvents,
  flushSync,
  followBatches,
  followChronicle,
  formatAnalysisReport,
  getChainTail,
  getCompleteChain,
  getEventType,
  hasEventFields,
  isBuildEvent,
  isChronicleError,
  isDeployEvent,
  isDuplicateEvent,
  isDuplicateUsingIndex,
  isEnvvarChangeEvent,
  isFileAddedEvent,
  isFileMergedEvent,
  isFileRemovedEvent,
  isFileRenamedEvent,
  isFileSplitEvent,
  isHaltAndReportEvent,
  isPlanApprovedEvent,
  isPlanDeniedEvent,
  isPlanDraftedEvent,
  isPlanUnsafeEvent,
  isPostmortemEvent,
  isReconciliationEvent,
  isRogueEditDetectedEvent,
  lockChronicles,
  maintainEventIndex,
  openChronicle,
  queryChronicle,
  readChronicle,
  repairChronicle,
  readChronicleFile,
  serializeEvent,
  streamChronicle,
  tailChronicle,
  tailChronicleFile,
  validateCausalChain,
  validateChroniclePath,
  verifyChronicle,
  verifyEventId,
};

module.exports = chronicle;
