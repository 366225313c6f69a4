'use strict';

// The package inside Jest, where tests run in a realm of their own: the globals differ from those that Node gave the
// addon, and in jsdom AbortSignal is not even Node's class.
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
