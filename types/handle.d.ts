/**
 * Other ways to hold a chronicle: open, with a cache and validation; and by the adapter that agents
 * take.
 */

import type { ChronicleEvent, ChronicleEventBase, EventInput } from './events.js';
import type {
  AppendOptions,
  ChroniclePath,
  PathOptions,
  Positioned,
  ReadOptions,
} from '../index.js';
import type { Receipt, Verification, VerifyOptions } from '../index.js';
import type {
  ChronicleIterator,
  FollowIterator,
  CountOptions,
  FollowOptions,
  QueryOptions,
  StreamOptions,
  Where,
} from './read.js';

declare global {
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/**
 * Tells the time: an ISO 8601 string, which is stored as it is, or a `Date` or milliseconds since
 * 1970, which are written as one. `Date` itself is a clock.
 */
export interface Clock {
  now(): string | number | Date;
}

/** One thing that a schema does not accept. */
export interface StandardSchemaIssue {
  readonly message: string;
  /** Where in the value, from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema says of a value: what it made of it, or what it does not accept. */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/**
 * A schema of any library that keeps to https://standardschema.dev, version 1 (zod, valibot,
 * arktype, ...): what is needed of it here.
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
      timestamp?: E['timestamp'] | null;
    }
  : E;

/** Options of {@link openChronicle}. `undefined` counts as absent; unknown names are refused. */
export interface OpenOptions extends PathOptions {
  /**
   * What is asked of an event that is appended. What is read is as others wrote it, unchecked.
   *
   * - `'contract'`: what {@link append} asks.
   * - `'none'`: a `type`; what else there is of the envelope must have the right JSON type.
   * - a Standard Schema, synchronous or not: it is given the event as it would be stored (what
   *   `JSON.parse` makes of its JSON text, so a `Date` is a string), and what it gives is appended: a
   *   field that it leaves out is not stored. That must have a `type`, as with `'none'`. What it does
   *   not accept is `EVALIDATION`, with the path of the first issue in the message.
   *
   * Default `'contract'`.
   */
  validate?: 'contract' | 'none' | StandardSchemaV1 | undefined;
  /**
   * Gives an appended event whose `timestamp` is missing, `null` or empty the time. Such an event is
   * another one each time it is appended, unless it has an `eventId` or `idempotencyKey`. Default:
   * none, the event is taken as it is.
   */
  clock?: Clock | undefined;
}

type WithoutPath<Options> = Omit<Options, 'anyExtension'>;

/** What every open chronicle has. After `close()` all of it rejects with `ECLOSED`. */
export interface OpenChronicle<E = ChronicleEvent> {
  /**
   * Every event, as `readChronicle` gives them, but from a cache: only what came since the last
   * `read` is read from the file. The array is the caller's own. The events are shared by all who
   * read, and frozen, all the way down: use `structuredClone(event)` to change one. They stay in
   * memory until `close()`; `stream` is for logs that are too large for that. A file that is not the
   * one that was read is read anew.
   *
   * With `onBadLine: 'throw'` or a function the whole file is read, and the events are new.
   *
   * @throws ChronicleError (as a rejection), as `readChronicle`.
   */
  read(
    options?: WithoutPath<ReadOptions> & { positions?: false | undefined },
  ): Promise<Readonly<E>[]>;
  read(options: WithoutPath<ReadOptions> & { positions: true }): Promise<Positioned<Readonly<E>>[]>;

  /** As `tailChronicle`: the last `n` events (default 10), new objects. */
  tail(
    n?: number,
    options?: WithoutPath<ReadOptions> & { positions?: false | undefined },
  ): Promise<E[]>;
  tail(
    n: number | undefined,
    options: WithoutPath<ReadOptions> & { positions: true },
  ): Promise<Positioned<E>[]>;

  /** As `streamChronicle`. A `next()` that waits when the chronicle is closed rejects. */
  stream(
    options?: WithoutPath<StreamOptions> & { positions?: false | undefined },
  ): ChronicleIterator<E>;
  stream(
    options: WithoutPath<StreamOptions> & { positions: true },
  ): ChronicleIterator<Positioned<E>>;

  /**
   * As `followChronicle`. A `next()` that waits when the chronicle is closed is told that there is
   * nothing more, so that `for await` is left and `cursor` can be kept.
   */
  follow(
    options?: WithoutPath<FollowOptions> & { positions?: false | undefined },
  ): FollowIterator<E>;
  follow(options: WithoutPath<FollowOptions> & { positions: true }): FollowIterator<Positioned<E>>;

  /** As `queryChronicle`. */
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
   * Lets the appends that were accepted finish, ends streams and follows that were begun here, and
   * gives up what is being read. Never rejects; may be called again.
   */
  close(): Promise<void>;

  /** As {@link OpenChronicle.close}, for `await using`. Only where `Symbol.asyncDispose` exists. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An open chronicle whose events are checked as {@link append} checks them. */
export interface Chronicle<E = ChronicleEvent> extends OpenChronicle<E> {
  /** As the function `append`. */
  append<T extends ChronicleEventBase>(
    event: T & EventInput<T['type']>,
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt>;

  /** As the function `appendEvents`. */
  appendMany<T extends ChronicleEventBase & { type: N }, N extends string = string>(
    events: readonly (T & EventInput<T['type']>)[],
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt[]>;
}

/** A {@link Chronicle} with a clock: a `timestamp` may be missing. */
export interface TimedChronicle<E = ChronicleEvent> extends OpenChronicle<E> {
  /** As the function `append`. */
  append<T extends Timeless<ChronicleEventBase>>(
    event: T & Timeless<EventInput<T['type']>>,
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt>;

  /** As the function `appendEvents`. */
  appendMany<T extends Timeless<ChronicleEventBase> & { type: N }, N extends string = string>(
    events: readonly (T & Timeless<EventInput<T['type']>>)[],
    options?: WithoutPath<AppendOptions>,
  ): Promise<Receipt[]>;
}

/** An open chronicle that takes whatever its schema takes, or with `'none'` what has a type. */
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
 * Opens a chronicle: the functions on a path without the path, with a cache for `read`, a choice of
 * validation, and an end. The path is made absolute at the call. The file need not exist. It is
 * looked at once, so that what cannot be a chronicle or cannot be read rejects here; no descriptor is
 * held between calls.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: bad path or option, or something at the path
 *   that is no regular file. `EIO`: the system failed.
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
  path: ChroniclePath,
  options?: OpenOptions & { validate?: 'contract' | undefined; clock?: undefined },
): Promise<Chronicle<E>>;
export function openChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options: OpenOptions & { validate?: 'contract' | undefined; clock: Clock },
): Promise<TimedChronicle<E>>;
export function openChronicle<E = ChronicleEvent>(
  path: ChroniclePath,
  options: OpenOptions & { validate: 'none' },
): Promise<FreeChronicle<E, AdapterEvent>>;
export function openChronicle<S extends StandardSchemaV1>(
  path: ChroniclePath,
  options: PathOptions & { validate: S; clock?: undefined },
): Promise<FreeChronicle<TypesOf<S>['output'], TypesOf<S>['input']>>;
export function openChronicle<S extends StandardSchemaV1>(
  path: ChroniclePath,
  options: PathOptions & { validate: S; clock: Clock },
): Promise<FreeChronicle<TypesOf<S>['output'], Timeless<TypesOf<S>['input']>>>;

/** What an {@link Adapter} takes: whatever has a type. The rest of the envelope may be missing. */
export interface AdapterEvent {
  /** What happened. Not empty. */
  type: string;
  /** Kept as it is; computed where it is missing. */
  eventId?: string;
  /** Filled in by the clock where it is missing, `null` or empty. */
  timestamp?: string | null;
  /** An object, if it is there. */
  actor?: object;
}

/** Options of {@link createAdapter}. `undefined` counts as absent; unknown names are refused. */
export interface AdapterOptions extends PathOptions {
  /** Gives an event without a `timestamp` one. Default: the system's time. */
  clock?: Clock | undefined;
  /**
   * The folder that relative paths are in, made absolute at the call of {@link createAdapter}.
   * Default: the working directory, as it is at each call.
   */
  baseDir?: string | undefined;
}

/**
 * Chronicles as the monorepo's agents expect them. The message of each of its errors begins with
 * the error's code.
 */
export interface Adapter {
  /** Every event, in file order, as new objects; `[]` for a missing file. As `readChronicle`. */
  read<E = ChronicleEvent>(path: ChroniclePath): Promise<E[]>;

  /**
   * Appends the event, durably, unless the log has its id already. Only `type` is required. An
   * event without `timestamp` gets the clock's, so appending it again later is another event, unless
   * it has an `eventId` or `idempotencyKey`. The event itself is not changed.
   *
   * @throws ChronicleError (as a rejection), as `append`.
   */
  append<E extends AdapterEvent>(path: ChroniclePath, event: E): Promise<void>;

  /** The last `n` events (default 10) in file order. As `tailChronicle`. */
  tail<E = ChronicleEvent>(path: ChroniclePath, n?: number): Promise<E[]>;
}

/**
 * Synchronous: an adapter that reads, appends and tails chronicles by path, and is lenient about
 * what it appends. It opens nothing and needs no closing.
 *
 * @throws ChronicleError `EVALIDATION`: a bad option.
 */
export function createAdapter(options?: AdapterOptions): Adapter;

// Without this a declaration file exports what it does not call `export` too.
export {};
