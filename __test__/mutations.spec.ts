import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('each thing that scripts/prove/mutate.mjs takes out stands once in the code', () => {
  const script = fileURLToPath(new URL('../scripts/prove/mutate.mjs', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [script, '--list'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
