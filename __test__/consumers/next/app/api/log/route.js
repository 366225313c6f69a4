import * as chronicle from '@sage/chronicle';
import { useChronicle } from '../../../use.mjs';

export const dynamic = 'force-dynamic';

export async function POST() {
  await useChronicle(chronicle);
  return Response.json({ done: true });
}
