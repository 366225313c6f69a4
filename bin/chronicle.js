#!/usr/bin/env node
'use strict';

const { main } = require('../lib/cli.js');

// Not `process.exit`: what is still being written to a pipe would be cut.
main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
