import * as chronicle from '@sage/chronicle';
import { append, isChronicleError, readChronicle, tailChronicle } from '@sage/chronicle';
import type { ChronicleEvent, ChronicleEventBase, Receipt } from '@sage/chronicle';
import { toStampUnsafe } from '@sage/chronicle/testing';
import { useChronicle } from './use.cjs';

interface NoteEvent extends ChronicleEventBase {
  type: 'NOTE';
  text: string;
}

declare module '@sage/chronicle' {
  interface ChronicleEventMap {
    NOTE: NoteEvent;
  }
}

/** Narrows by type, an own one as well as a known one; what is left over is not of those. */
export function told(event: ChronicleEvent): string {
  switch (event.type) {
    case 'NOTE':
      return event.text;
    case 'BUILD':
      return event.status;
    default: {
      const other: Exclude<ChronicleEvent['type'], 'NOTE' | 'BUILD'> = event.type;
      return other;
    }
  }
}

/** Never called: what matters is that each of these is refused or accepted. */
export async function typed(path: string): Promise<string> {
  const envelope = { timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'ts', id: '1' } };
  const receipt: Receipt = await append(path, { ...envelope, type: 'NOTE', text: 'an own type' });
  await append(path, { ...envelope, type: 'SOMETHING_ELSE', whatever: 1 });
  // @ts-expect-error a NOTE needs its text
  await append(path, { ...envelope, type: 'NOTE' });
  // @ts-expect-error a NOTE's text is a string
  await append(path, { ...envelope, type: 'NOTE', text: 1 });
  // @ts-expect-error no such option
  await append(path, { ...envelope, type: 'X' }, { retries: 3 });
  // @ts-expect-error an offset is a number
  const offset: string = receipt.offset;
  const events: ChronicleEvent[] = await readChronicle(path);
  const notes = await tailChronicle<NoteEvent>(path, 3);
  try {
    await readChronicle('x');
  } catch (error) {
    if (isChronicleError(error, 'EIO')) return `${error.cause?.code} ${error.written}`;
    // @ts-expect-error what was caught is not known to have a code
    return error.code;
  }
  return [offset, ...events.map(told), notes[0]?.text, toStampUnsafe(events).pass].join();
}

void useChronicle(chronicle);
