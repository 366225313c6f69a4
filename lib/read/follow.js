'use strict';

const { watch } = require('node:fs');
const { basename, dirname } = require('node:path');
const { yieldToEventLoop } = require('../binding/event-loop.js');
const { Follower } = require('../binding/native.js');
const { BATCHES, FOLLOW, MEMORY, toNative } = require('../binding/options.js');
const { ownCopy } = require('../binding/own-properties.js');
const { openPort, request, unwrap } = require('../binding/port.js');
const { warn } = require('../binding/warnings.js');
const { absolute } = require('../binding/working-folder.js');
const { BadLines } = require('./bad-lines.js');
const { iterate } = require('./stream.js');

/** The delay between two looks at an idle file: the first and the longest. */
const MIN_POLL_MS = 4;
const MAX_POLL_MS = 200;

/**
 * Closes the watchers of abandoned follows, which the system would keep.
 *
 * @type {FinalizationRegistry<import('node:fs').FSWatcher>}
 */
const abandoned = new FinalizationRegistry((watcher) => watcher.close());

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {any}
 */
function followChronicle(path, options) {
  return iterate(path, options, FOLLOW, followerOf, { endsOnAbort: true });
}

/**
 * @param {import('../../index.d.ts').PathOrUrl} path
 * @param {unknown} [options]
 * @returns {any}
 */
function followBatches(path, options) {
  return iterate(path, options, BATCHES, batchesOf, { endsOnAbort: true });
}

/**
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 */
function batchesOf(path, options) {
  const { maxBytes, maxEvents, synced, ...rest } = ownCopy(options);
  return followerOf(path, { ...rest, batches: { maxBytes, maxEvents, synced } });
}

/**
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 * @returns {import('./record-iterator.js').Source}
 */
function followerOf(path, options) {
  const { signal, onBadLine, ...rest } = ownCopy(options);
  const badLines = new BadLines(path, onBadLine);
  const follower = new Follower(openPort(), path, toNative(rest), rest[MEMORY]);
  const file = absolute(path);
  /** @type {import('node:fs').FSWatcher | undefined} */
  let watcher;
  let delay = 0;
  /** @type {import('./record-iterator.js').Source} */
  const source = {
    start: undefined,
    async next(started) {
      if (delay > 0 && watcher === undefined) {
        watcher = watchFile(file, new WeakRef(follower));
        if (watcher !== undefined) abandoned.register(source, watcher, source);
      }
      const { outcome, text } = await request((_port, id) => {
        started(id);
        follower.look(id, delay);
      }, signal);
      const page = ownCopy(unwrap(outcome, { signal, path }));
      if (page.start !== undefined) source.start = page.start;
      if (page.trouble !== undefined)
        warn('CHRONICLE_FOLLOW_WAITS', `a follow waits: ${page.trouble}`);
      badLines.visit(page.bad);
      if (page.idle) badLines.end();
      delay = page.idle ? Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, delay * 2)) : 0;
      // Taken here: the next look replaces the lines.
      const bytes = page.batch && follower.takeLines();
      const batch = page.batch && { bytes, ...page.batch };
      if (page.count > 0 || batch) delay = Math.min(delay, MIN_POLL_MS);
      if (!page.idle) await yieldToEventLoop();
      return { ...page, text: text ?? '[]', batch };
    },
    async close() {
      watcher?.close();
      abandoned.unregister(source);
      badLines.end();
      await request((_port, id) => follower.close(id));
    },
  };
  return source;
}

/**
 * Wakes the follower when the system reports a change. The report is only a hint: without events,
 * or with too many watchers, the follower polls. The system holds the watcher and its callback, so
 * the callback must not hold the follower.
 *
 * @param {string} file
 * @param {WeakRef<Follower>} follower
 */
function watchFile(file, follower) {
  try {
    const name = basename(file);
    // The directory is watched: a watcher of the file would miss its replacement.
    const watcher = watch(dirname(file), { persistent: false }, (_event, changedName) => {
      if (changedName === null || changedName === name) follower.deref()?.nudge();
    });
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}

module.exports = { followBatches, followChronicle };
