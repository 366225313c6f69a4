// Reports to the test by lines on standard output. A line is written synchronously, so it arrives
// even if the program is killed next.
import { writeSync } from 'node:fs';

const pause = new Int32Array(new SharedArrayBuffer(4));

export function tell(...words) {
  const line = `${JSON.stringify(words)}\n`;
  for (;;) {
    try {
      // Shorter than PIPE_BUF, so it is written whole or not at all.
      writeSync(1, line);
      return;
    } catch (error) {
      // A pipe does not block, and its reader may be behind.
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}
