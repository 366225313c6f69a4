// What the stores share whose file is lines of JSON.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

export const line = (event) => `${JSON.stringify(event)}\n`;
export const lines = (events) => events.map(line).join('');

/** Every line of a file, read in blocks, so that a large one needs no large string. */
export function eachLine(path, meet) {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(1 << 20);
    let rest = Buffer.alloc(0);
    for (let got; (got = readSync(file, buffer)) > 0;) {
      const block = rest.length ? Buffer.concat([rest, buffer.subarray(0, got)]) : buffer;
      const end = rest.length + got;
      const last = block.lastIndexOf(10, end - 1);
      if (last < 0) {
        rest = Buffer.from(block.subarray(0, end));
        continue;
      }
      for (const text of block.toString('utf8', 0, last).split('\n')) meet(text);
      rest = Buffer.from(block.subarray(last + 1, end));
    }
    if (rest.length > 0) throw new Error(`${path} does not end with a newline`);
  } finally {
    closeSync(file);
  }
}

export function keysOf(path) {
  const keys = [];
  eachLine(path, (text) => keys.push(JSON.parse(text).key));
  return keys;
}

/** The usual way to read such a file. */
export function readAll(path) {
  const events = [];
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    if (text !== '') events.push(JSON.parse(text));
  }
  return events;
}

/** Runs what it is given one after the other: callers that may not overlap wait for each other. */
export function oneAtATime() {
  let last = Promise.resolve();
  return (call) => {
    const result = last.then(call);
    last = result.catch(() => {});
    return result;
  };
}
