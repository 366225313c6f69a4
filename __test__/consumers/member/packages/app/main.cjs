'use strict';

const chronicle = require('@sage/chronicle');
const { useChronicle } = require('../../use.cjs');

useChronicle(chronicle);
