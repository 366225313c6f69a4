'use strict';

/** @type {import('jest').Config} */
module.exports = {
  projects: ['node', 'jsdom'].map((testEnvironment) => ({
    displayName: testEnvironment,
    testEnvironment,
    rootDir: __dirname,
    testMatch: ['**/*.test.js'],
  })),
};
