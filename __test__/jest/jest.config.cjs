'use strict';

// The package inside Jest, which runs tests in a realm of their own. Their globals differ from
// those of the addon, and in jsdom AbortSignal is not Node's class.
const project = (testEnvironment) => ({
  displayName: testEnvironment,
  testEnvironment,
  rootDir: __dirname,
  roots: [__dirname],
  testMatch: ['**/*.jest.js'],
  transform: {},
});

/** @type {import('jest').Config} */
module.exports = {
  projects: [project('node'), project('jsdom')],
  testTimeout: 30_000,
  watchman: false,
};
