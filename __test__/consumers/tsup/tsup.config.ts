import { defineConfig } from 'tsup';

// A package in `dependencies` is external to tsup without a word.
export default defineConfig({
  entry: ['main.ts'],
  format: ['esm', 'cjs'],
  dts: true,
  shims: true,
  outExtension: ({ format }) => ({ js: format === 'esm' ? '.mjs' : '.cjs' }),
});
