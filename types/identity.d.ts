/** The ids and the text of events. */

/**
 * The id that {@link append} computes for the event: lower-case hex SHA-256 of the canonical form
 * (RFC 8785) of its JSON text, without `eventId`. Any JSON object has an id. The options
 * `idempotencyKey` and `chain` add fields to the stored event, so the receipt then has another id.
 *
 * @throws ChronicleError (as a rejection) `EVALIDATION`: the event is no object, or not
 *   representable in JSON.
 */
export function computeEventId(event: object): Promise<string>;

/**
 * The ids of several events, in order.
 *
 * @throws ChronicleError (as a rejection), as {@link computeEventId}; `index` names the event.
 */
export function computeEventIds(events: readonly object[]): Promise<string[]>;

/**
 * Whether the event's `eventId` is the id computed from its content. The key order of the
 * TypeScript predecessor (integer-like keys first) is accepted, too. `false` without `eventId`.
 *
 * @throws ChronicleError (as a rejection), as {@link computeEventId}.
 */
export function verifyEventId(event: object): Promise<boolean>;

/**
 * Synchronous: a shallow copy of the event's own enumerable fields without `eventId`, in their
 * order. (Canonical order is applied when the id is computed.)
 *
 * @throws ChronicleError `EVALIDATION`: the event is no object, or cannot be read.
 */
export function canonicalizeEvent<E extends object>(event: E): Omit<E, 'eventId'>;

/**
 * Synchronous: the event as one line, `JSON.stringify(event)` and a newline.
 *
 * @throws ChronicleError `EVALIDATION`: the event is no object, or not representable in JSON.
 */
export function serializeEvent(event: object): string;
