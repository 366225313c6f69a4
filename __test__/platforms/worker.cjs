'use strict';

const { parentPort, workerData } = require('node:worker_threads');
const chronicle = require('../../index.js');
const { note } = require('./note.cjs');

chronicle.append(workerData, note('worker')).then(({ seq }) => parentPort?.postMessage(seq));
