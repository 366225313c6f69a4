/**
 * Open chronicles, with a cache and validation, and adapters for agents.
 */

import type { AppendOptions, Receipt } from './append.js';
import type { Verification, VerifyOptions } from './checks.js';
import type {
  ChronicleEvent,
  ChronicleEventMap,
  EventInput,
  EventsToAppend,
  EventToAppend,
  EventType,
} from './events.js';
import type { PathOptions, PathOrUrl } from './path.js';
import type {
  ChronicleIterator,
  CountOptions,
  FollowIterator,
  FollowOptions,
  Positioned,
  QueryOptions,
  ReadOptions,
  StreamOptions,
  Where,
} from './read.js';

declare global {
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/**
 * A clock. It returns an ISO 8601 string, which is stored as it is, or a `Date` or milliseconds
 * since 1970, which are stored as ISO 8601. `Date` itself is a clock.
 */
export interface Clock {
  now(): string | number | Date;
}

/** A reason why a schema rejects a value. */
export interface StandardSchemaIssue {
  readonly message: string;
  /** The path to the bad part of the value, from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The result of a schema: the output value, or the issues of a rejected value. */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/**
 * A schema of a library that implements https://standardschema.dev, version 1 (zod, valibot,
 * arktype, ...), with the members used here.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

type TypesOf<S extends StandardSchemaV1> = NonNullable<S['~standard']['types']>;

/** An event whose `timestamp` a clock may fill in. */
export type Timeless<E> = E extends { timestamp?: unknown }
  ? { [Field in keyof E as Field extends 'timestamp' ? never : Field]: E[Field] } & {
      timestamp?: E['timestamp'] | null | undefined;
    }
  : E;

type TimelessToAppend<T extends string> =
  | EventToAppend<T>
  | ({ readonly type: T } & Timeless<EventInput<T>> & { readonly [field: string]: any });

/** Options of {@link openChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface OpenOptions extends PathOptions {
  /**
   * The rule for appended events. Read events are not checked.
   *
   * - `'contract'`: the rule of {@link append}.
   * - `'none'`: the event has a `type`, and the other envelope fields that it has are of the right
   *   JSON type.
   * - a Standard Schema, synchronous or not. The schema receives the event as it would be stored:
   *   the parsed JSON text, in which a `Date` is a string. The output of the schema is appended; a
   *   field that the schema drops is not stored. The output follows the rule of `'none'`. A
   *   rejected event is `EVALIDATION`, with the path of the first issue in the message.
   *
   * Default `'contract'`.
   */
  validate?: 'contract' | 'none' | StandardSchemaV1 | undefined;
  /**
   * The clock for appended events whose `timestamp` is missing, `null` or empty. Each append of
   * such an event is a new event, unless it has an `eventId` or `idempotencyKey`. Default: no
   * clock.
   */
  clock?: Clock | undefined;
}

/** A value whose objects and arrays are read-only at every level, as frozen events are. */
export type DeepReadonly<V> = V extends (...args: never[]) => unknown
  ? V
  : V extends object
    ? { readonly [Key in keyof V]: DeepReadonly<V[Key]> }
    : V;

type WithoutPath<Options> = Omit<Options, 'anyExtension'>;

/** The events of `E` with the type `T`. */
type Narrowed<E, T extends keyof ChronicleEventMap> = ChronicleEvent extends E
  ? ChronicleEventMap[T]
  : Extract<E, { type: T }>;

/** The common part of all open chronicles. After `close()` every method rejects with `ECLOSED`. */
export interface OpenChronicle<E = ChronicleEvent> {
  /** The absolute path of the file. */
  readonly path: string;

  /**
   * All events, as by `readChronicle`, from a cache: only records appended since the last `read`
   * are read from the file. The array is the caller's own. All readers share the events, which are
   * deeply frozen: use `structuredClone(event)` to change one. The events stay in memory until
   * `close()`; use `stream` for logs that are too large. A replaced file is read again from its
   * start.
   *
   * With `onBadLine: 'throw'` or a function the whole file is read into new events.
   *
   * @throws ChronicleError (as a rejection), as `readChronicle`.
   */
  read(
    options?: WithoutPath<ReadOptions> & { positions?: false | undefined },
  ): Promise<DeepReadonly<E>[]>;
  read(
    options: WithoutPath<ReadOptions> & { positions: true },
  ): Promise<Positioned<DeepReadonly<E>>[]>;

  /** As `tailChronicle`: the last `n` events (default 10), new objects. */
  tail(
    n?: number,
    options?: WithoutPath<ReadOptions> & { positions?: false | undefined },
  ): Promise<E[]>;
  tail(
    n: number | undefined,
    options: WithoutPath<ReadOptions> & { positions: true },
  ): Promise<Positioned<E>[]>;

  /** As `streamChronicle`. A pending `next()` rejects when the chronicle is closed. */
  stream<const T extends keyof ChronicleEventMap>(
    options: WithoutPath<StreamOptions> & {
      where: Where & { type: T | readonly T[] };
      positions?: false | undefined;
    },
  ): ChronicleIterator<Narrowed<E, T>>;
  stream<const T extends keyof ChronicleEventMap>(
    options: WithoutPath<StreamOptions> & {
      where: Where & { type: T | readonly T[] };
      positions: true;
    },
  ): ChronicleIterator<Positioned<Narrowed<E, T>>>;
  stream(
    options?: WithoutPath<StreamOptions> & { positions?: false | undefined },
  ): ChronicleIterator<E>;
  stream(
    options: WithoutPath<StreamOptions> & { positions: true },
  ): ChronicleIterator<Positioned<E>>;

  /**
   * As `followChronicle`. A pending `next()` resolves as done when the chronicle is closed, so that
   * `for await` ends and `cursor` can be saved.
   */
  follow<const T extends keyof ChronicleEventMap>(
    options: WithoutPath<FollowOptions> & {
      where: Where & { type: T | readonly T[] };
      positions?: false | undefined;
    },
  ): FollowIterator<Narrowed<E, T>>;
  follow<const T extends keyof ChronicleEventMap>(
    options: WithoutPath<FollowOptions> & {
      where: Where & { type: T | readonly T[] };
      positions: true;
    },
  ): FollowIterator<Positioned<Narrowed<E, T>>>;
  follow(
    options?: WithoutPath<FollowOptions> & { positions?: false | undefined },
  ): FollowIterator<E>;
  follow(options: WithoutPath<FollowOptions> & { positions: true }): FollowIterator<Positioned<E>>;

  /** As `queryChronicle`. A `type` of the map narrows the events. */
  query<const T extends keyof ChronicleEventMap>(
    where: Where & { type: T | readonly T[] },
    options?: WithoutPath<QueryOptions> & { positions?: false | undefined },
  ): Promise<Narrowed<E, T>[]>;
  query<const T extends keyof ChronicleEventMap>(
    where: Where & { type: T | readonly T[] },
    options: WithoutPath<QueryOptions> & { positions: true },
  ): Promise<Positioned<Narrowed<E, T>>[]>;
  query(
    where?: Where,
    options?: WithoutPath<QueryOptions> & { positions?: false | undefined },
  ): Promise<E[]>;
  query(
    where: Where | undefined,
    options: WithoutPath<QueryOptions> & { positions: true },
  ): Promise<Positioned<E>[]>;

  /** As `countEvents`. */
  count(where?: Where, options?: WithoutPath<CountOptions>): Promise<number>;

  /** As `verifyChronicle`. */
  verify(options?: WithoutPath<VerifyOptions>): Promise<Verification>;

  /**
   * Waits for the accepted appends, ends the streams and follows of this chronicle, and aborts its
   * reads. Never rejects; may be called again.
   */
  close(): Promise<void>;

  /** As {@link OpenChronicle.close}, for `await using`. Only where `Symbol.asyncDispose` exists. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An open chronicle whose events follow the rule of {@link append}. */
export interface Chronicle<E = ChronicleEvent> extends OpenChronicle<E> {
  /** As the function `append`. */
  append<T extends EventType>(
    event: EventToAppend<T>,
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt>;

  /** As the function `appendEvents`. */
  appendMany<T extends EventType>(
    events: EventsToAppend<T>,
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt[]>;
}

/** A {@link Chronicle} with a clock: a `timestamp` may be missing. */
export interface TimedChronicle<E = ChronicleEvent> extends OpenChronicle<E> {
  /** As the function `append`. */
  append<T extends EventType>(
    event: TimelessToAppend<T>,
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt>;

  /** As the function `appendEvents`. */
  appendMany<T extends EventType>(
    events: readonly ({ readonly type: T } & { [K in T]: TimelessToAppend<K> }[T])[],
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt[]>;
}

/** An open chronicle whose events follow the rule of a schema, or of `'none'`. */
export interface FreeChronicle<E, Input> extends OpenChronicle<E> {
  /** As the function `append`. */
  append<T extends Input>(event: T, options?: WithoutPath<AppendOptions>): Promise<Receipt>;

  /** As the function `appendEvents`. */
  appendMany<T extends Input>(
    events: readonly T[],
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt[]>;
}

/**
 * Opens a chronicle: the functions on a path as methods, with a cache for `read`, a choice of
 * validation, and `close()`. The path is made absolute at the call. The file may not exist. The
 * call reads from the file once, and rejects if the file cannot be a chronicle or cannot be read.
 * No descriptor is held between calls.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option, or something at the
 *   path that is no regular file. `EIO`: the system failed.
 *
 * @example
 * ```ts
 * const log = await openChronicle('agent.sage', { clock: Date });
 * await log.append({ type: 'BUILD', actor, status: 'success' });
 * const events = await log.read();
 * await log.close();
 * ```
 */
export function openChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options?: OpenOptions & { validate?: 'contract' | undefined; clock?: undefined },
): Promise<Chronicle<E>>;
export function openChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options: OpenOptions & { validate?: 'contract' | undefined; clock: Clock },
): Promise<TimedChronicle<E>>;
export function openChronicle<E = ChronicleEvent>(
  path: PathOrUrl,
  options: OpenOptions & { validate: 'none' },
): Promise<FreeChronicle<E, AdapterEvent>>;
export function openChronicle<S extends StandardSchemaV1>(
  path: PathOrUrl,
  options: PathOptions & { validate: S; clock?: undefined },
): Promise<FreeChronicle<TypesOf<S>['output'], TypesOf<S>['input']>>;
export function openChronicle<S extends StandardSchemaV1>(
  path: PathOrUrl,
  options: PathOptions & { validate: S; clock: Clock },
): Promise<FreeChronicle<TypesOf<S>['output'], Timeless<TypesOf<S>['input']>>>;

/** An event for an {@link Adapter}. Only the type is required of the envelope. */
export interface AdapterEvent {
  /** The type of the event. Not empty. */
  type: string;
  /** Kept as it is; computed if it is missing. */
  eventId?: string;
  /** Set by the clock if it is missing, `null` or empty. */
  timestamp?: string | null;
  /** An object, if present. */
  actor?: object;
}

/** Options of {@link createAdapter}. `undefined` counts as absent; unknown names are refused. */
export interface AdapterOptions extends PathOptions {
  /** The clock for events without a `timestamp`. Default: the system's clock. */
  clock?: Clock | undefined;
  /**
   * The folder of relative paths, made absolute at the call of {@link createAdapter}. Default: the
   * working directory at each call.
   */
  baseDir?: string | undefined;
}

/**
 * Chronicles in the form that the monorepo's agents expect. The message of each error begins with
 * its code.
 */
export interface Adapter {
  /** All events in file order, as new objects; `[]` for a missing file. As `readChronicle`. */
  read<E = ChronicleEvent>(path: PathOrUrl): Promise<E[]>;

  /**
   * Appends the event durably, unless the log has its id already. Only `type` is required. An event
   * without `timestamp` gets the clock's time. A later append of such an event is then a new event,
   * unless it has an `eventId` or `idempotencyKey`. The event object is not changed.
   *
   * @throws ChronicleError (as a rejection), as `append`.
   */
  append<E extends AdapterEvent>(path: PathOrUrl, event: E): Promise<void>;

  /** The last `n` events (default 10) in file order. As `tailChronicle`. */
  tail<E = ChronicleEvent>(path: PathOrUrl, n?: number): Promise<E[]>;

  /** The events that match. As `queryChronicle`; a `type` of the map narrows. */
  query<const T extends keyof ChronicleEventMap>(
    path: PathOrUrl,
    where: Where & { type: T | readonly T[] },
    options?: WithoutPath<QueryOptions> & { positions?: false | undefined },
  ): Promise<ChronicleEventMap[T][]>;
  query<E = ChronicleEvent>(
    path: PathOrUrl,
    where?: Where,
    options?: WithoutPath<QueryOptions> & { positions?: false | undefined },
  ): Promise<E[]>;
  query<E = ChronicleEvent>(
    path: PathOrUrl,
    where: Where | undefined,
    options: WithoutPath<QueryOptions> & { positions: true },
  ): Promise<Positioned<E>[]>;

  /** The events one by one, in bounded memory. As `streamChronicle`. */
  stream<E = ChronicleEvent>(
    path: PathOrUrl,
    options?: WithoutPath<StreamOptions> & { positions?: false | undefined },
  ): ChronicleIterator<E>;
  stream<E = ChronicleEvent>(
    path: PathOrUrl,
    options: WithoutPath<StreamOptions> & { positions: true },
  ): ChronicleIterator<Positioned<E>>;

  /** The events, then those appended later. As `followChronicle`. */
  follow<E = ChronicleEvent>(
    path: PathOrUrl,
    options?: WithoutPath<FollowOptions> & { positions?: false | undefined },
  ): FollowIterator<E>;
  follow<E = ChronicleEvent>(
    path: PathOrUrl,
    options: WithoutPath<FollowOptions> & { positions: true },
  ): FollowIterator<Positioned<E>>;
}

/**
 * Synchronous: an adapter that reads, appends and tails chronicles by path, with lenient checks of
 * events. The call opens nothing, and an adapter needs no closing.
 *
 * @throws ChronicleError `EVALIDATION`: a bad option.
 */
export function createAdapter(options?: AdapterOptions): Adapter;

// Without this line a declaration file exports all its declarations.
export {};
