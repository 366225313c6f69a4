import * as chronicle from '@sage/chronicle';
import { append, type Receipt } from '@sage/chronicle';
import { useChronicle } from './use.mjs';

export function note(path: string, text: string): Promise<Receipt> {
  const timestamp = new Date().toISOString();
  return append(path, { type: 'NOTE', timestamp, actor: { agent: 'tsup', id: '1' }, text });
}

void useChronicle(chronicle);
