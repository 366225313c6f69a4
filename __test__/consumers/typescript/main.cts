import chronicle = require('@sage/chronicle');
import type { ChronicleEvent, ChronicleEventBase } from '@sage/chronicle';
import use = require('./use.cjs');

interface NoteEvent extends ChronicleEventBase {
  type: 'NOTE';
  text: string;
}

declare module '@sage/chronicle' {
  interface ChronicleEventMap {
    NOTE: NoteEvent;
  }
}

export const told = (event: ChronicleEvent): string =>
  event.type === 'NOTE' ? event.text : event.type;

void use.useChronicle(chronicle);
