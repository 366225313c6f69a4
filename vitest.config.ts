import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The spec that builds with Cargo comes last: the suites beside it hold Cargo's lock before. */
class CargoLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLast = ({ moduleId }: TestSpecification) => moduleId.endsWith('/rust.spec.ts');
    return [...sorted.filter((file) => !isLast(file)), ...sorted.filter(isLast)];
  }
}

export default defineConfig({
  test: {
    include: ['__test__/**/*.spec.ts'],
    pool: 'forks',
    sequence: { sequencer: CargoLast },
    // Limits against hanging; no test measures speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The package is loaded by Node.js itself, as its users load it, not rewritten by Vite.
    server: {
      deps: { external: [/\/(index|testing)\.m?js$/, /\/lib\/.+\.js$/, /\/binding\.js$/] },
    },
  },
});
