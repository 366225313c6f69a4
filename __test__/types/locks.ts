// What the types of locks accept and refuse. Checked by tsc only, never run.
import { acquireLock, cleanStaleLocks, lockChronicles } from '@sage/chronicle';
import type { AcquiredLock, ChronicleLock, LockOptions, Receipt } from '@sage/chronicle';

const event = {
  type: 'BUILD',
  timestamp: '2026-01-02T03:04:05.000Z',
  actor: { agent: 'sage', id: 'one' },
  status: 'success',
} as const;

export async function locks(signal: AbortSignal): Promise<void> {
  const options: LockOptions = { lockTimeoutMs: 100, mode: 'shared', signal, anyExtension: true };
  const lock: ChronicleLock = await lockChronicles(['a.sage', 'b.md'] as const, options);
  const paths: readonly string[] = lock.paths;
  const receipt: Receipt = await lock.append(paths[0] ?? '', event, { durability: 'os' });
  // @ts-expect-error an event is needed
  await lock.append('a.sage');
  // @ts-expect-error the payload of a known type is checked
  await lock.append('a.sage', { ...event, status: 7 });
  // @ts-expect-error an array of paths
  await lockChronicles('a.sage');
  // @ts-expect-error no such mode
  await lockChronicles(['a.sage'], { mode: 'read' });
  const { release } = lock;
  await release();
  await lock[Symbol.asyncDispose]();
  const old: AcquiredLock = await acquireLock('a.sage', 100);
  await old.release();
  await cleanStaleLocks(`${receipt.seq}${old.fd}${old.path}`);
}
