'use strict';

const { invalid, reading } = require('../binding/errors.js');

/** @typedef {import('../../index.d.ts').ChronicleEventMap} ChronicleEventMap */

/**
 * A guard for one known type: the type is equal and every required payload field is present. The
 * values of the fields are not checked.
 *
 * @template {keyof ChronicleEventMap} T
 * @param {T} type
 * @param {string[]} required
 * @returns {(event: unknown) => event is ChronicleEventMap[T]}
 */
function guard(type, required) {
  /**
   * @param {unknown} event
   * @returns {event is ChronicleEventMap[T]}
   */
  return function isEventOfType(event) {
    if (typeof event !== 'object' || event === null) return false;
    return (
      /** @type {{ type?: unknown }} */ (event).type === type &&
      required.every((field) => field in event)
    );
  };
}

/**
 * @template {string} T
 * @param {{ type: T }} event
 * @returns {T}
 */
function getEventType(event) {
  if (typeof event !== 'object' || event === null) throw invalid('event must be an object');
  return event.type;
}

/**
 * @param {readonly any[]} events
 * @param {string} type
 * @returns {any[]}
 */
function filterEventsByType(events, type) {
  if (!Array.isArray(events)) throw invalid('events must be an array');
  if (typeof type !== 'string') throw invalid('type must be a string');
  return reading('events', () => events.filter((event) => event?.type === type));
}

/**
 * @param {unknown} event
 * @param {readonly string[]} names
 * @returns {event is any}
 */
function hasEventFields(event, names) {
  if (!Array.isArray(names)) throw invalid('names must be an array');
  if (typeof event !== 'object' || event === null) return false;
  return reading('names', () => names.every((name) => name in event));
}

/**
 * @param {unknown} event
 * @param {string} type
 * @returns {event is any}
 */
function isEvent(event, type) {
  if (typeof event !== 'object' || event === null) return false;
  return /** @type {{ type?: unknown }} */ (event).type === type;
}

module.exports = {
  filterEventsByType,
  getEventType,
  hasEventFields,
  isEvent,
  isPlanDraftedEvent: guard('PLAN_DRAFTED', ['planId', 'summary', 'steps']),
  isPlanApprovedEvent: guard('PLAN_APPROVED', ['planId', 'reviewerId', 'justification']),
  isPlanDeniedEvent: guard('PLAN_DENIED', ['planId', 'reviewerId', 'reason']),
  isPlanUnsafeEvent: guard('PLAN_UNSAFE', ['planId', 'forcedBy', 'overriddenWarnings']),
  isHaltAndReportEvent: guard('HALT_AND_REPORT', ['invariant', 'expected', 'actual']),
  isReconciliationEvent: guard('RECONCILIATION', ['filePath', 'diffRef', 'reconciliationStrategy']),
  isRogueEditDetectedEvent: guard('ROGUE_EDIT_DETECTED', ['filePath', 'hash', 'detectedBy']),
  isBuildEvent: guard('BUILD', ['status']),
  isDeployEvent: guard('DEPLOY', ['environment', 'deploymentId', 'status']),
  isEnvvarChangeEvent: guard('ENVVAR_CHANGE', ['variable', 'environment', 'operation']),
  isPostmortemEvent: guard('POSTMORTEM', ['incidentId', 'title', 'rootCause', 'actionItems']),
  isFileAddedEvent: guard('FILE_ADDED', ['filePath', 'hash', 'size']),
  isFileRemovedEvent: guard('FILE_REMOVED', ['filePath', 'lastHash']),
  isFileRenamedEvent: guard('FILE_RENAMED', ['oldPath', 'newPath', 'hash']),
  isFileSplitEvent: guard('FILE_SPLIT', [
    'originalPath',
    'resultingPaths',
    'originalHash',
    'strategy',
  ]),
  isFileMergedEvent: guard('FILE_MERGED', ['sourcePaths', 'resultPath', 'resultHash', 'strategy']),
};
