'use strict';

const { causeOf, invalid } = require('../binding/errors.js');
const { Listing, analyze } = require('../binding/native.js');
const { ANALYZE, readOptions, toNative } = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { pathText } = require('../binding/path.js');
const { request, throwIfAborted, unwrap } = require('../binding/port.js');
const { printable } = require('../binding/printable.js');

/** @typedef {import('../../index.d.ts').ChronicleAnalysis} ChronicleAnalysis */

const TOP_ACTORS = 5;

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {Promise<ChronicleAnalysis>}
 */
function analyzeChronicle(path, options) {
  return analyzeListed(path, options);
}

/**
 * {@link analyzeChronicle}. `links` receives all broken links; the result has only the first.
 *
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @param {Listing} [links]
 * @returns {Promise<ChronicleAnalysis>}
 */
async function analyzeListed(path, options, links) {
  const { signal, ...rest } = readOptions(options, ANALYZE);
  const name = pathText(path);
  throwIfAborted(signal);
  const nativeOptions = toNative(rest);
  const { outcome } = await request(
    (port, id) => analyze(port, id, name, nativeOptions, links),
    signal,
  );
  const found = ownCopy(unwrap(outcome, { signal, path: name }));
  const { totalEvents, chainedEvents, brokenLinks, omitted, timeRange, largestEvent } = found;
  const missing = brokenLinks.filter((/** @type {any} */ { issue }) => issue === 'missing_prev');
  return {
    totalEvents,
    eventTypes: found.eventTypes,
    timeRange: timeRange === undefined ? null : timesOf(timeRange),
    actors: record(found.actors, (actor) => {
      const { agent, eventCount, seen } = ownCopy(actor);
      const { start, end } = timesOf(seen ?? { start: '', end: '' });
      return { agent, eventCount, firstSeen: start, lastSeen: end };
    }),
    corruptedLines: found.corruptedLines,
    duplicateEvents: found.duplicateEvents,
    causalChainIntegrity: {
      isValid: brokenLinks.length === 0,
      totalEvents,
      chainedEvents,
      brokenLinks,
      ...(omitted > 0 && { brokenLinksOmitted: omitted }),
      orphanedEvents: missing.map((/** @type {any} */ { eventId }) => eventId),
    },
    avgEventSize: totalEvents === 0 ? 0 : found.totalSize / totalEvents,
    largestEvent: largestEvent ?? { index: -1, size: 0, type: '' },
    eventsByHour: found.eventsByHour,
    warnings: found.warnings,
    errors: found.errors,
  };
}

/**
 * A copy with converted values. An assignment would lose a key `__proto__`, which parsed JSON may
 * have.
 *
 * @template V, W
 * @param {Record<string, V>} of
 * @param {(value: V) => W} become
 * @returns {Record<string, W>}
 */
function record(of, become) {
  return Object.fromEntries(Object.entries(of).map(([name, value]) => [name, become(value)]));
}

/**
 * Two timestamps as texts: records may have integer milliseconds.
 *
 * @param {{ start: string | number, end: string | number }} range
 */
function timesOf({ start, end }) {
  return { start: timeText(start), end: timeText(end) };
}

/** @param {string | number} time */
function timeText(time) {
  return typeof time === 'number' ? new Date(time).toISOString() : time;
}

/**
 * @param {ChronicleAnalysis} analysis
 * @returns {string}
 */
function formatAnalysisReport(analysis) {
  try {
    return reportOf(analysis);
  } catch (thrown) {
    throw invalid('analysis must be one that analyzeChronicle made', { cause: causeOf(thrown) });
  }
}

/** @param {ChronicleAnalysis} analysis */
function reportOf(analysis) {
  const { actors, causalChainIntegrity: chain, eventTypes, timeRange, totalEvents } = analysis;
  const byCount = Object.entries(actors).sort(([, a], [, b]) => b.eventCount - a.eventCount);
  const { index, size, type } = analysis.largestEvent;
  const name = type === '' ? '' : `, ${type}`;
  const lines = [
    'Chronicle analysis',
    '',
    `events: ${totalEvents}`,
    `time: ${timeRange === null ? 'none' : `${timeRange.start} to ${timeRange.end}`}`,
    `types: ${Object.keys(eventTypes).length}`,
    `actors: ${byCount.length}`,
    `corrupted lines: ${analysis.corruptedLines}`,
    `duplicate events: ${analysis.duplicateEvents}`,
    `average size: ${Math.round(analysis.avgEventSize)}`,
    `largest: ${index < 0 ? 'none' : `${size} (event ${index}${name})`}`,
    `chain: ${chain.isValid ? 'whole' : 'broken'}, ${chain.chainedEvents} of ${totalEvents} events linked`,
  ];
  const section = (/** @type {string} */ title, /** @type {string[]} */ rows) => {
    if (rows.length > 0) lines.push('', title, ...rows.map((row) => `  ${row}`));
  };
  section(
    'Events by type',
    Object.entries(eventTypes).map(([each, count]) => `${each}: ${count}`),
  );
  section(
    'Most active actors',
    byCount.slice(0, TOP_ACTORS).map(([key, { eventCount }]) => `${key}: ${eventCount}`),
  );
  section('Warnings', [...analysis.warnings]);
  section('Errors', [...analysis.errors]);
  // Events may have foreign text.
  return lines.map((line) => printable(line.replaceAll('\n', '\\n'))).join('\n');
}

module.exports = { analyzeChronicle, analyzeListed, formatAnalysisReport };
