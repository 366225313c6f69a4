'use strict';

const { analyzeChronicle, formatAnalysisReport } = require('./analyze.js');
const { createAdapter } = require('./adapter.js');
const {
  append,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  appendLines,
  flushSync,
} = require('./append.js');
const {
  appendWithCausalChain,
  buildCausalChain,
  getChainTail,
  getCompleteChain,
  validateCausalChain,
} = require('./chain.js');
const { computeChronicleHash, eventsAreIdentical, findDuplicateEvents } = require('./compare.js');
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
const { ChronicleError, ErrorCodes, isChronicleError } = require('./errors.js');
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
} = require('./events.js');
const { openChronicle } = require('./handle.js');
const {
  canonicalizeEvent,
  computeEventId,
  computeEventIds,
  verifyEventId,
} = require('./identity.js');
const { followBatches, followChronicle } = require('./follow.js');
const { lockChronicles } = require('./lock.js');
const { validateChroniclePath } = require('./path.js');
const { countEvents, queryChronicle, readChronicle, tailChronicle } = require('./read.js');
const { chronicleStats } = require('./stats.js');
const { deduplicateConsecutiveEvents, repairChronicle } = require('./repair.js');
const { streamChronicle } = require('./stream.js');
const { serializeEvent } = require('./text.js');
const { verifyChronicle } = require('./verify.js');

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
