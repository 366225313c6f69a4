'use strict';

/** An event that is told from others by its mark. */
exports.note = (/** @type {string} */ mark, extra = {}) => ({
  type: 'NOTE_TAKEN',
  timestamp: '2026-01-02T03:04:05.678Z',
  actor: { agent: 'test', id: mark.split(':')[0] },
  mark,
  ...extra,
});
