import { join } from 'node:path';
import { readChronicle } from '@sage/chronicle';

export const dynamic = 'force-dynamic';

/** A server component. */
export default async function Page() {
  const events = await readChronicle(join(process.cwd(), 'none.sage'));
  return <p>{`records: ${events.length}`}</p>;
}
