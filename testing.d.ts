/**
 * `@sage/chronicle/testing`: a chronicle for tests, and matchers for `expect`.
 *
 * @packageDocumentation
 */

import type { AdapterEvent, AdapterOptions, ChronicleEvent, ChroniclePath } from './index.js';

/** A chronicle for tests, by path, as lenient as an adapter. */
export interface TestChronicle {
  /** Every event of the chronicle, as new objects; `[]` for one that nobody appended to. */
  read<E = ChronicleEvent>(path: ChroniclePath): Promise<E[]>;

  /**
   * Appends the event unless the chronicle has its id already. Only `type` is required; a missing
   * `timestamp` comes from the clock.
   *
   * @throws ChronicleError (as a rejection), as that of an adapter: the message begins with the code.
   */
  append<E extends AdapterEvent>(path: ChroniclePath, event: E): Promise<void>;

  /** The events from the given place on (from 0), one after the other, then it ends. */
  tail<E = ChronicleEvent>(
    path: ChroniclePath,
    fromIndex?: number,
  ): AsyncGenerator<E, void, undefined>;

  /** Synchronous: the paths appended to, in the order of their first appends, as they were given. */
  getAllPaths(): string[];

  /** Synchronous: how many events the chronicle had after the last append made here. */
  getEventCount(path: ChroniclePath): number;

  /** The events that have each of these fields, equal by `===`. */
  findEvents<E = ChronicleEvent>(
    path: ChroniclePath,
    partial: { readonly [field: string]: unknown },
  ): Promise<E[]>;

  /**
   * Synchronous: forgets all chronicles. Await what is being appended first. With `baseDir` it
   * removes the files that were appended to here.
   */
  clear(): void;
}

/**
 * Synchronous: a chronicle for tests. Whatever its path, a chronicle is kept in memory, by the code
 * that otherwise keeps it in a file; with `baseDir` in files in that folder, which are not synced.
 *
 * @throws ChronicleError `EVALIDATION`: a bad option.
 */
export function makeChronicle(options?: AdapterOptions): TestChronicle;

/** What vitest and jest take from a matcher. */
export interface MatcherResult {
  pass: boolean;
  message(): string;
}

/** Fields that an event must have, equal by `===`; those of `actor` are compared one by one. */
export interface EventPattern {
  readonly type?: string;
  readonly actor?: { readonly agent?: string; readonly id?: string } | undefined;
  readonly [field: string]: unknown;
}

/** Some event fits the pattern. */
export function toContainEvent(events: readonly unknown[], pattern: EventPattern): MatcherResult;

/**
 * Timestamps never decrease, a `prevEventId` is the `eventId` of the event right before, and no
 * `eventId` occurs twice.
 */
export function toMaintainCausalChain(events: readonly unknown[]): MatcherResult;

/** There is a `HALT_AND_REPORT`. */
export function toHaltOnContradiction(events: readonly unknown[]): MatcherResult;

/** There is a `PLAN_UNSAFE`, with this `planId` if one is given. */
export function toStampUnsafe(events: readonly unknown[], planId?: string): MatcherResult;

/**
 * The first `ROGUE_EDIT_DETECTED` of the file comes before its first `RECONCILIATION`, and both are
 * there. Without a file: so it is for each file with a rogue edit, and there is a `RECONCILIATION`.
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
 * The matchers as `expect(events)` has them, to be added to the types of the runner:
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
