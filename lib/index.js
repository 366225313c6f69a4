'use strict';

const {
  append,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  flushSync,
} = require('./append.js');
const { ChronicleError, ErrorCodes, isChronicleError } = require('./errors.js');
const {
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
const { validateChroniclePath } = require('./path.js');
const { readChronicle, tailChronicle } = require('./read.js');
const { serializeEvent } = require('./text.js');

/** @type {typeof import('../index.d.ts')} */
const chronicle = {
  append,
  appendEvent,
  appendEventSync,
  appendEventWithId,
  appendEvents,
  canonicalizeEvent,
  ChronicleError,
  computeEventId,
  computeEventIds,
  ErrorCodes,
  flushSync,
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
  readChronicle,
  serializeEvent,
  tailChronicle,
  validateChroniclePath,
  verifyEventId,
};

module.exports = chronicle;
