// One writer process. Its parent sends a job over the channel. The writer appends the events of
// the job, and sends each receipt back at once.
import { append, appendEvents } from '../../index.mjs';
import { commitEvent, fileEvent, inParallel } from './sources.mjs';

/** Appends under way at once: they share batches, and so syncs. */
const inFlight = 64;
const batchLength = 100;

const eventOf = (root, item) =>
  item.commit ? commitEvent(item.commit) : fileEvent(root, item.file);

/** Resolves when the message has left this process. */
function send(message) {
  return new Promise((resolve, reject) => {
    process.send(message, (error) => (error ? reject(error) : resolve()));
  });
}

async function appendEach({ root, chronicles, items }) {
  await inParallel(items, inFlight, async (item) => {
    const receipt = await append(chronicles[item.into], await eventOf(root, item));
    await send({ receipts: [[item.key, receipt]] });
  });
}

async function appendInBatches({ root, chronicles, items }) {
  for (const [into, path] of Object.entries(chronicles)) {
    const mine = items.filter((item) => item.into === into);
    for (let start = 0; start < mine.length; start += batchLength) {
      const batch = mine.slice(start, start + batchLength);
      const events = await Promise.all(batch.map((item) => eventOf(root, item)));
      const receipts = await appendEvents(path, events);
      await send({ receipts: batch.map((item, index) => [item.key, receipts[index]]) });
    }
  }
}

process.once('message', async (job) => {
  try {
    await (job.batches ? appendInBatches(job) : appendEach(job));
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
  process.disconnect();
});
