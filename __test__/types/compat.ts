// What the types of the predecessor's names accept and refuse. Checked by tsc only, never run.
import {
  atomicAppendEvent,
  batchCheckDuplicates,
  ensureChronicleDirectory,
  fileExists,
  isDuplicateEvent,
  isDuplicateUsingIndex,
  maintainEventIndex,
  readChronicleFile,
  tailChronicleFile,
} from '@sage/chronicle';
import type {
  Actor,
  AppendOptions,
  BuildEvent,
  ChainLink,
  ChainValidationResult,
  ChronicleEvent,
  ChronicleEventBase,
  ChroniclePath,
  DeployEvent,
  EnvvarChangeEvent,
  FileAddedEvent,
  FileMergedEvent,
  FileRemovedEvent,
  FileRenamedEvent,
  FileSplitEvent,
  HaltAndReportEvent,
  PlanApprovedEvent,
  PlanDeniedEvent,
  PlanDraftedEvent,
  PlanUnsafeEvent,
  PostmortemEvent,
  ReconciliationEvent,
  RogueEditDetectedEvent,
} from '@sage/chronicle';

export type SixteenEvents =
  | BuildEvent
  | DeployEvent
  | EnvvarChangeEvent
  | FileAddedEvent
  | FileMergedEvent
  | FileRemovedEvent
  | FileRenamedEvent
  | FileSplitEvent
  | HaltAndReportEvent
  | PlanApprovedEvent
  | PlanDeniedEvent
  | PlanDraftedEvent
  | PlanUnsafeEvent
  | PostmortemEvent
  | ReconciliationEvent
  | RogueEditDetectedEvent;

export type Others = [
  Actor,
  AppendOptions,
  ChainLink,
  ChainValidationResult,
  ChronicleEventBase,
  ChroniclePath,
];

export async function lives(path: ChroniclePath, event: SixteenEvents): Promise<void> {
  const nothing: void = await atomicAppendEvent(path, event, 500);
  const events: ChronicleEvent[] = await readChronicleFile(path);
  const last: { n: number }[] = await tailChronicleFile<{ n: number }>(path, 5);
  const flags: boolean[] = [
    await fileExists(path),
    await isDuplicateEvent(path, 'id', { windowSize: 100, useIndex: true }),
    await isDuplicateUsingIndex(path, 'id'),
  ];
  const answers: Map<string, boolean> = await batchCheckDuplicates(path, ['id'], {});
  const more: void[] = [await ensureChronicleDirectory(path), await maintainEventIndex(path)];
  // @ts-expect-error no type
  await atomicAppendEvent(path, { n: 1 });
  // @ts-expect-error an unknown option
  await isDuplicateEvent(path, 'id', { window: 5 });
  void [nothing, events, last, flags, answers, more];
}
