'use strict';

const { watch } = require('node:fs');
const { basename, dirname } = require('node:path');
const { BadLines } = require('./bad-lines.js');
const { Follower } = require('../binding/native.js');
const { BATCHES, FOLLOW, MEMORY, toNative } = require('../binding/options.js');
const { own } = require('../binding/own.js');
const { nextTurn, openPort, request, unwrap } = require('../binding/port.js');
const { iterate } = require('./stream.js');
const { warn } = require('../binding/warnings.js');
const { absolute } = require('../binding/working-folder.js');

/** Milliseconds between two looks when nothing happens: the first, and the longest. */
const SHORTEST = 4;
const LONGEST = 200;

/**
 * The watchers of follows that were dropped: the system would keep them.
 *
 * @type {FinalizationRegistry<import('node:fs').FSWatcher>}
 */
const abandoned = new FinalizationRegistry((watcher) => watcher.close());

/**
 * @param {string} path
 * @param {unknown} [options]
 * @returns {any}
 */
function followChronicle(path, options) {
  return iterate(path, options, FOLLOW, followerOf, { endsOnAbort: true });
}

/**
 * @param {string} path
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
  const { maxBytes, maxEvents, synced, ...rest } = own(options);
  return followerOf(path, { ...rest, batches: { maxBytes, maxEvents, synced } });
}

/**
 * @param {string} path
 * @param {Record<string | symbol, any>} options
 * @returns {import('./records.js').Source}
 */
function followerOf(path, options) {
  const { signal, onBadLine, ...rest } = own(options);
  const badLines = new BadLines(path, onBadLine);
  const follower = new Follower(openPort(), path, toNative(rest), rest[MEMORY]);
  const file = absolute(path);
  /** @type {import('node:fs').FSWatcher | undefined} */
  let watcher;
  let delay = 0;
  /** @type {import('./records.js').Source} */
  const source = {
    start: undefined,
    async next(begun) {
      if (delay > 0 && watcher === undefined) {
        watcher = watchFile(file, new WeakRef(follower));
        if (watcher !== undefined) abandoned.register(source, watcher, source);
      }
      const { outcome, text } = await request((_port, id) => {
        begun(id);
        follower.look(id, delay);
      }, signal);
      const look = own(unwrap(outcome, { signal, path }));
      if (look.start !== undefined) source.start = look.start;
      if (look.trouble !== undefined)
        warn('CHRONICLE_FOLLOW_WAITS', `a follow waits: ${look.trouble}`);
      badLines.meet(look.bad);
      if (look.idle) badLines.end();
      delay = look.idle ? Math.min(LONGEST, Math.max(SHORTEST, delay * 2)) : 0;
      // The next look may find other lines.
      const bytes = look.batch && follower.takeLines();
      const batch = look.batch && { bytes, ...look.batch };
      if (look.count > 0 || batch) delay = Math.min(delay, SHORTEST);
      if (!look.idle) await nextTurn();
      return { ...look, text: text ?? '[]', batch };
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
 * Nudges the follower when the system reports a change. It is a hint that saves time: where there are
 * no such events, or too many watchers, the looks come by the clock alone. The system holds the
 * watcher and its callback, so the callback does not hold the follower.
 *
 * @param {string} file
 * @param {WeakRef<Follower>} follower
 */
function watchFile(file, follower) {
  try {
    const name = basename(file);
    // The directory: what watches a file does not see another one take its place.
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
