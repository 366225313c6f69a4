import { existsSync, readFileSync } from 'node:fs';

/** Sentences about acknowledged events that are missing, not unique, or in the wrong place. */
export function losses(path, acks, refused = []) {
  const problems = [];
  const found = new Map();
  const file = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  for (let at = 0; at < file.length;) {
    const newline = file.indexOf(0x0a, at);
    const end = newline < 0 ? file.length : newline;
    const mark = markOf(file.toString('utf8', at, end));
    if (mark !== undefined) {
      if (found.has(mark)) problems.push(`${mark} is there twice`);
      found.set(mark, { offset: at, length: end - at });
    }
    at = end + 1;
  }
  for (const ack of acks) {
    const record = found.get(ack.mark);
    if (!record) problems.push(`${ack.mark} was acknowledged and is lost`);
    else if (record.offset !== ack.offset || record.length !== ack.length) {
      problems.push(`${ack.mark} is not where its receipt says`);
    }
  }
  for (const mark of refused) {
    if (found.has(mark)) problems.push(`${mark} was refused and is there`);
  }
  return problems;
}

function markOf(line) {
  try {
    return JSON.parse(line)?.mark;
  } catch {
    return undefined;
  }
}
