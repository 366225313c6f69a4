#!/usr/bin/env node
'use strict';

const { main } = require('../lib/cli/main.js');

// Until the command returns its exit code, an exit is a failure.
process.exitCode = 1;

let hasEnded = false;
process.once('beforeExit', () => {
  if (!hasEnded) process.stderr.write('chronicle: ended before its work was done\n');
});

// Not `process.exit`, which would cut pending writes to a pipe.
main(process.argv.slice(2)).then((code) => {
  hasEnded = true;
  process.exitCode = code;
});
