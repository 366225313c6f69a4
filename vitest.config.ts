import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['__test__/**/*.spec.ts'],
    pool: 'forks',
    // Limits against hanging; no test measures speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The package is loaded by Node.js itself, as its users load it, not rewritten by Vite.
    server: {
      deps: { external: [/\/(index|testing)\.m?js$/, /\/lib\/.+\.js$/, /\/binding\.js$/] },
    },
  },
});
