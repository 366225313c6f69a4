#!/usr/bin/env node
'use strict';

const { main } = require('../lib/cli/main.js');

// Until the command says otherwise: what ends the process before that is no success.
process.exitCode = 1;

let hasEnded = false;
process.once('beforeExit', () => {
  if (!hasEnded) process.stderr.write('chronicle: ended before its work was done\n');
});

// Not `process.exit`: what is still being written to a pipe would be cut.
main(process.argv.slice(2)).then((code) => {
  hasEnded = true;
  process.exitCode = code;
});
