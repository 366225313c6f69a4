'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/**
 * A temporary folder for each test of a file, removed after the test. Call it at the top level.
 * Returns path(name).
 */
exports.temporaryFolder = () => {
  let folder;
  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'chronicle-jest-'));
  });
  afterEach(() => {
    fs.rmSync(folder, { recursive: true, force: true });
  });
  return (name) => path.join(folder, name);
};

/** An event that is known to the types, numbered. */
exports.event = (number) => ({
  type: 'BUILD',
  timestamp: '2026-01-02T03:04:05.000Z',
  actor: { agent: 'jest', id: String(number) },
  status: 'success',
});
