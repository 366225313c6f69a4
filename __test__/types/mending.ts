// What the types of analyzing and repairing accept, refuse and give. Checked by tsc only, never
// run.
import {
  analyzeChronicle,
  deduplicateConsecutiveEvents,
  formatAnalysisReport,
  repairChronicle,
} from '@sage/chronicle';
import type {
  ChainValidationResult,
  ChronicleAnalysis,
  ChronicleRepairOptions,
  ChronicleRepairResult,
  RemovedLine,
} from '@sage/chronicle';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_equal: Equal<A, B>): void {}

export async function analyzes(path: string): Promise<void> {
  const signal = new AbortController().signal;
  const analysis = await analyzeChronicle(path, { signal, anyExtension: true });
  same<typeof analysis, ChronicleAnalysis>(true);
  same<typeof analysis.causalChainIntegrity, ChainValidationResult>(true);
  const start: string | undefined = analysis.timeRange?.start;
  const text: string = formatAnalysisReport(analysis);
  // @ts-expect-error an unknown option
  await analyzeChronicle(path, { onBadLine: 'skip' });
  // @ts-expect-error no analysis
  formatAnalysisReport({});
  void [start, text];
}

export async function repairs(path: string): Promise<void> {
  const options: ChronicleRepairOptions = {
    dryRun: true,
    removeDuplicates: true,
    fixTimestampOrder: undefined,
    repairCausalChain: false,
    createBackup: false,
    lockTimeoutMs: 5,
  };
  const result = await repairChronicle(path, options);
  same<typeof result, ChronicleRepairResult>(true);
  const backup: string | undefined = result.backupPath;
  const line: RemovedLine | undefined = result.plan.removed[0];
  const count: number = await deduplicateConsecutiveEvents(path, { lockTimeoutMs: 5 });
  // @ts-expect-error no boolean
  await repairChronicle(path, { dryRun: 1 });
  // @ts-expect-error an option of the repair alone
  await deduplicateConsecutiveEvents(path, { dryRun: true });
  void [backup, line, count];
}
