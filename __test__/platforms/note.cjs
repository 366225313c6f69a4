'use strict';

/** An event with a distinct mark. */
exports.note = (/** @type {string} */ mark, extra = {}) => ({
  type: 'NOTE_TAKEN',
  timestamp: '2026-01-02T03:04:05.678Z',
  actor: { agent: 'test', id: mark.split(':')[0] },
  mark,
  ...extra,
});
