/** @type {import('rollup').RollupOptions} */
export default {
  input: 'main.js',
  external: ['@sage/chronicle', /^node:/],
  output: [
    { file: 'dist/main.mjs', format: 'es' },
    { file: 'dist/main.cjs', format: 'cjs' },
  ],
};
