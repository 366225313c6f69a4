// Follows a log and writes the mark of each event to a file. Reports its progress, its memory and
// its last position. Stops after the number of events in its job or in a line of standard input.
import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tell } from './tell.mjs';

const chronicle = createRequire(import.meta.url)('../index.js');
let { path, out, cursor, stopAt = Infinity } = JSON.parse(process.argv[2]);

const following = chronicle.followChronicle(path, cursor ? { from: { cursor } } : {});
let count = 0;
let marks = '';

process.stdin.setEncoding('utf8').on('data', (text) => {
  stopAt = Number(text);
  if (count >= stopAt) following.return();
});
tell('following');
for await (const { mark } of following) {
  count += 1;
  marks += `${mark}\n`;
  if (count % 100 === 0) {
    appendFileSync(out, marks);
    marks = '';
    tell('progress', count, process.memoryUsage().heapUsed);
  }
  if (count >= stopAt) break;
}
appendFileSync(out, marks);
tell('stopped', following.cursor);
process.stdin.destroy();
