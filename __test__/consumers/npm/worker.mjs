// The same in a worker thread that loads the addon first, and ends before the main thread uses it.
import { once } from 'node:events';
import { Worker, isMainThread } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

if (isMainThread) {
  const [code] = await once(new Worker(fileURLToPath(import.meta.url)), 'exit');
  if (code !== 0) throw new Error(`the worker ended with ${code}`);
}
const [chronicle, { useChronicle }] = await Promise.all([
  import('@sage/chronicle'),
  import('./use.mjs'),
]);
await useChronicle(chronicle);
