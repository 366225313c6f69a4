// What the types of statistics and channels say. Checked by tsc only, never run.
import { chronicleStats } from '@sage/chronicle';
import type { ChronicleChannels, ChronicleStats, Receipt } from '@sage/chronicle';

export function looks(message: ChronicleChannels['sage:chronicle:append']): number {
  const stats: ChronicleStats = chronicleStats();
  const receipts: Receipt[] | undefined = message.receipts;
  const [first] = stats.lockWait.buckets;
  const holder: ChronicleChannels['sage:chronicle:lock']['holderPid'] = undefined;
  // @ts-expect-error no such channel
  type None = ChronicleChannels['sage:chronicle:none'];
  const none: None | undefined = undefined;
  return (first?.leMs ?? 0) + (receipts?.length ?? 0) + (holder ?? none ?? stats.pending);
}
