import { defineConfig } from 'vite';

export default defineConfig({
  build: {
    target: 'node20',
    lib: {
      entry: 'main.js',
      formats: ['es', 'cjs'],
      fileName: (format) => (format === 'es' ? 'main.mjs' : 'main.cjs'),
    },
    rolldownOptions: { external: ['@sage/chronicle', /^node:/] },
  },
});
