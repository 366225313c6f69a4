'use strict';

const path = require('node:path');

const common = {
  mode: 'production',
  target: 'node20',
  entry: './main.js',
};

/** @type {import('webpack').Configuration[]} */
module.exports = [
  {
    ...common,
    externals: { '@sage/chronicle': 'commonjs @sage/chronicle' },
    output: { path: path.join(__dirname, 'dist'), filename: 'main.cjs' },
  },
  {
    ...common,
    externals: { '@sage/chronicle': 'module @sage/chronicle' },
    experiments: { outputModule: true },
    output: { path: path.join(__dirname, 'dist'), filename: 'main.mjs', module: true },
  },
];
