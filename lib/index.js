'use strict';

const { analyzeChronicle, formatAnalysisReport } = require('./analyze.js');
const {
  append,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  flushSync,
} = require('./append.js');
const {
  appendWithCausalChain,
  buildCausalChain,
  getChainTail,
  getCompleteChain,
  validateCausalChain,
} = require('./chain.js');
const { acquireLock, cleanStaleLocks } = require('./compat.js');
const { computeChronicleHash, eventsAreIdentical, findDuplicateEvents } = require('./compare.js');
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
const {
  canonicalizeEvent,
  computeEventId,
  computeEventIds,
  verifyEventId,
} = require('./identity.js');
const { followChronicle } = require('./follow.js');
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
  appendWithCausalChain,
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
  ErrorCodes,
  eventsAreIdentical,
  filterEventsByType,
  findDuplicateEvents,
  flushSync,
  followChronicle,
  formatAnalysisReport,
  getChainTail,
  getCompleteChain,
  getEventType,
  hasEventFields,
  isBuildEvent,
  isChronicleError,
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
  lockChronicles,
  queryChronicle,
  readChronicle,
  repairChronicle,
  serializeEvent,
  streamChronicle,
  tailChronicle,
  validateCausalChain,
  validateChroniclePath,
  verifyChronicle,
  verifyEventId,
};

module.exports = chronicle;
