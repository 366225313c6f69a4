// Does a chronicle hold exactly the acknowledged events, and do they agree with git and the file
// tree? Every function returns the differences as texts; none is good.
import { readFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { computeEventIds, readChronicle, tailChronicle, verifyEventId } from '../../index.mjs';
import { inParallel } from './sources.mjs';

const positionOf = ({ seq, offset, length }) => ({ seq, offset, length });

/**
 * The records against the receipts: each acknowledged event once, at the place of its receipt,
 * and nothing else.
 */
export function againstReceipts(path, records, receipts) {
  const differences = [];
  const places = new Map(records.map((record) => [record.event.eventId, positionOf(record)]));
  if (places.size !== records.length) differences.push(`${path}: an id stands there twice`);
  if (records.length !== receipts.size) {
    differences.push(`${path}: ${records.length} records, ${receipts.size} events acknowledged`);
  }
  for (const [key, receipt] of receipts) {
    const place = places.get(receipt.eventId);
    if (!isDeepStrictEqual(place, positionOf(receipt))) {
      differences.push(
        `${path}: ${key} is at ${JSON.stringify(place)}, not where its receipt says`,
      );
    }
  }
  return differences;
}

/** The bytes of the file: whole lines, each the JSON text of the record said to be there. */
export async function againstBytes(path, records) {
  const bytes = await readFile(path);
  const differences = [];
  let end = 0;
  for (const { event, offset, length } of records) {
    const line = bytes.toString('utf8', offset, offset + length);
    if (offset !== end || bytes[offset + length] !== 0x0a || line !== JSON.stringify(event)) {
      differences.push(`${path}: the line at ${offset} is not the record's`);
    }
    end = offset + length + 1;
  }
  if (end !== bytes.length) differences.push(`${path}: ${bytes.length - end} bytes too many`);
  return differences;
}

/** The ids: a second computation returns the stored ones, and each event verifies. */
export async function againstIds(path, events) {
  const differences = [];
  const ids = await computeEventIds(events);
  for (const [index, event] of events.entries()) {
    if (event.eventId !== ids[index]) differences.push(`${path}: ${event.eventId} is not its id`);
  }
  await inParallel(events, 64, async (event) => {
    if (!(await verifyEventId(event)))
      differences.push(`${path}: ${event.eventId} fails to verify`);
  });
  return differences;
}

/** The tail: the last ten records are the last ten of the whole. */
export async function againstTail(path, events) {
  const tail = await tailChronicle(path, 10);
  return isDeepStrictEqual(tail, events.slice(-10)) ? [] : [`${path}: its tail is not its end`];
}

/** The world: one event for each thing there is now, with the same content, and none besides. */
export function againstWorld(path, events, now, nameOf) {
  const differences = [];
  const recorded = new Map(events.map(({ eventId, ...event }) => [nameOf(event), event]));
  for (const event of now) {
    const name = nameOf(event);
    const found = recorded.get(name);
    if (!found) differences.push(`${path}: ${name} is not recorded`);
    else if (!isDeepStrictEqual(found, event)) differences.push(`${path}: ${name} differs`);
    recorded.delete(name);
  }
  for (const name of recorded.keys()) differences.push(`${path}: ${name} does not exist`);
  return differences;
}

/** Reads a chronicle with positions. */
export const recordsOf = (path) => readChronicle(path, { positions: true, onBadLine: 'throw' });
