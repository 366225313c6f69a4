/**
 * `@sage/chronicle/testing`: a chronicle for tests, and matchers for `expect`.
 *
 * @packageDocumentation
 */

import type {
  Adapter,
  AdapterEvent,
  AdapterOptions,
  Chronicle,
  ChronicleEvent,
  Clock,
  FreeChronicle,
  OpenOptions,
  PathOptions,
  PathOrUrl,
  StandardSchemaV1,
  TimedChronicle,
  Timeless,
} from './index.js';

/** Chronicles for tests, by path, as lenient as an adapter. */
export interface TestChronicle extends Pick<Adapter, 'query' | 'stream' | 'follow'> {
  /** All events of the chronicle, as new objects; `[]` before the first append. */
  read<E = ChronicleEvent>(path: PathOrUrl): Promise<E[]>;

  /**
   * Appends the event unless the chronicle has its id already. Only `type` is required; a missing
   * `timestamp` is set by the clock.
   *
   * @throws ChronicleError (as a rejection), as by an adapter: the message begins with the code.
   */
  append<E extends AdapterEvent>(path: PathOrUrl, event: E): Promise<void>;

  /** The events from the given index on (from 0), one after the other. */
  tail<E = ChronicleEvent>(path: PathOrUrl, fromIndex?: number): AsyncGenerator<E, void, undefined>;

  /** Synchronous: the paths with appends, as given, in the order of their first appends. */
  getAllPaths(): string[];

  /** Synchronous: the number of events of the chronicle after the last append of this object. */
  getEventCount(path: PathOrUrl): number;

  /** The events with all of these fields, equal by `===`. */
  findEvents<E = ChronicleEvent>(
    path: PathOrUrl,
    partial: { readonly [field: string]: unknown },
  ): Promise<E[]>;

  /**
   * Synchronous: drops all chronicles. Await pending appends first. With `baseDir` the files with
   * appends of this object are removed.
   */
  clear(): void;
}

/**
 * Synchronous: chronicles for tests. A chronicle of any path is kept in memory, by the same code as
 * in a file. With `baseDir` chronicles are files in that folder, which are not synced.
 *
 * @throws ChronicleError `EVALIDATION`: a bad option.
 */
export function makeChronicle(options?: AdapterOptions): TestChronicle;

/**
 * Opens an empty chronicle in memory, as `openChronicle` opens a file: the same type, and the same
 * code but for the disk. Duplicates, conflicts, errors, cursors and follows are those of a file. No
 * other handle or process sees its events, and they are gone when the object is. Errors name the
 * path `/memory/log.sage`.
 *
 * @param options as of `openChronicle`: `validate` and `clock`.
 * @throws ChronicleError (as a rejection) `EVALIDATION`: a bad option.
 *
 * @example
 * ```ts
 * const log = await openMemoryChronicle({ clock: { now: () => 0 } });
 * await runAgent(log);
 * expect(await log.count({ type: 'BUILD' })).toBe(1);
 * ```
 */
export function openMemoryChronicle<E = ChronicleEvent>(
  options?: OpenOptions & { validate?: 'contract' | undefined; clock?: undefined },
): Promise<Chronicle<E>>;
export function openMemoryChronicle<E = ChronicleEvent>(
  options: OpenOptions & { validate?: 'contract' | undefined; clock: Clock },
): Promise<TimedChronicle<E>>;
export function openMemoryChronicle<E = ChronicleEvent>(
  options: OpenOptions & { validate: 'none' },
): Promise<FreeChronicle<E, AdapterEvent>>;
export function openMemoryChronicle<S extends StandardSchemaV1>(
  options: PathOptions & { validate: S; clock?: undefined },
): Promise<
  FreeChronicle<
    NonNullable<S['~standard']['types']>['output'],
    NonNullable<S['~standard']['types']>['input']
  >
>;
export function openMemoryChronicle<S extends StandardSchemaV1>(
  options: PathOptions & { validate: S; clock: Clock },
): Promise<
  FreeChronicle<
    NonNullable<S['~standard']['types']>['output'],
    Timeless<NonNullable<S['~standard']['types']>['input']>
  >
>;

/** The result of a matcher, for vitest and jest. */
export interface MatcherResult {
  pass: boolean;
  message(): string;
}

/**
 * Fields that an event must have. Values are equal as by `toEqual`, and may be asymmetric matchers
 * such as `expect.any(String)`. The fields of `actor` are compared one by one.
 */
export interface EventPattern {
  readonly type?: string;
  readonly actor?: { readonly agent?: unknown; readonly id?: unknown } | undefined;
  readonly [field: string]: unknown;
}

/**
 * Some event matches the pattern. The message of a failure shows how the nearest event differs.
 * Called as a function and not by `expect`, values are compared as by `isDeepStrictEqual`.
 */
export function toContainEvent(events: readonly unknown[], pattern: EventPattern): MatcherResult;

/**
 * Timestamps never decrease, a `prevEventId` is the `eventId` of the event right before, and no
 * `eventId` occurs twice.
 */
export function toMaintainCausalChain(events: readonly unknown[]): MatcherResult;

/** Some event is a `HALT_AND_REPORT`. */
export function toHaltOnContradiction(events: readonly unknown[]): MatcherResult;

/** Some event is a `PLAN_UNSAFE`, with this `planId` if one is given. */
export function toStampUnsafe(events: readonly unknown[], planId?: string): MatcherResult;

/**
 * The file has a `ROGUE_EDIT_DETECTED` and, after the first one, its first `RECONCILIATION`.
 * Without `filePath`: this holds for each file with a rogue edit, and some event is a
 * `RECONCILIATION`.
 */
export function toReconcileChanges(events: readonly unknown[], filePath?: string): MatcherResult;

/** The matchers, for `expect.extend(matchers)`. */
export const matchers: {
  toContainEvent: typeof toContainEvent;
  toHaltOnContradiction: typeof toHaltOnContradiction;
  toMaintainCausalChain: typeof toMaintainCausalChain;
  toReconcileChanges: typeof toReconcileChanges;
  toStampUnsafe: typeof toStampUnsafe;
};

/**
 * The matchers as methods of `expect(events)`, for augmentation of the runner's types:
 *
 * ```ts
 * declare module 'vitest' {
 *   interface Assertion<T = any> extends ChronicleMatchers<T> {}
 * }
 * ```
 *
 * With jest, `namespace jest { interface Matchers<R> extends ChronicleMatchers<R> {} }`, global.
 */
export interface ChronicleMatchers<R = unknown> {
  /** {@inheritDoc toContainEvent} */
  toContainEvent(pattern: EventPattern): R;
  /** {@inheritDoc toHaltOnContradiction} */
  toHaltOnContradiction(): R;
  /** {@inheritDoc toMaintainCausalChain} */
  toMaintainCausalChain(): R;
  /** {@inheritDoc toReconcileChanges} */
  toReconcileChanges(filePath?: string): R;
  /** {@inheritDoc toStampUnsafe} */
  toStampUnsafe(planId?: string): R;
}
