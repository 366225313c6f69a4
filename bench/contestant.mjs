// One contestant, in a process of its own. It waits for messages, one for each task.
import { adapters } from './adapters/index.mjs';
import { tasks } from './tasks/index.mjs';

/** The events of a process continue where its last task ended, so that none is written twice. */
const state = { next: 0, stores: new Map() };

process.on('message', async ({ adapter, task, args }) => {
  try {
    const { open } = adapter ? await adapters[adapter]() : {};
    process.send({ value: (await tasks[task](open, args, state)) ?? null });
  } catch (error) {
    process.send({ error: error.stack ?? String(error), code: error.code });
  }
});
process.on('disconnect', () => process.exit());
process.send({ value: 'ready' });
