// Tasks that write. Each looks afterwards, untimed, whether the store holds what was written.
import { event, events } from '../events.mjs';
import { must, mustHold, quantile } from '../numbers.mjs';
import { longestBlock, timed } from './clock.mjs';

function fresh(count, state) {
  const made = events(count, state.next);
  state.next += count;
  return made;
}

const keysOf = (made) => made.map(({ key }) => key);

const figures = (took) => ({
  micros: quantile(took, 0.5),
  p99: quantile(took, 0.99),
  longest: Math.max(...took),
});

async function eachAwaited(store, made) {
  const took = [];
  for (const one of made) took.push(await timed(() => store.append(one)));
  return took;
}

/** One writer that awaits each append. */
export async function sequential(open, { path, warmUp, count, watch }, state) {
  const store = await open(path);
  const first = fresh(warmUp, state);
  const made = fresh(count, state);
  await eachAwaited(store, first);
  let took = [];
  const call = async () => (took = await eachAwaited(store, made));
  const block = watch ? (await longestBlock(call)).longest : await call().then(() => undefined);
  const held = await store.keys();
  await store.close();
  mustHold(held, keysOf([...first, ...made]), path);
  return { ...figures(took), block };
}

/** Waves of callers that do not wait for each other. */
export async function inFlight(open, { path, waves, width, watch }, state) {
  const store = await open(path);
  const first = fresh(1, state);
  const made = Array.from({ length: waves }, () => fresh(width, state));
  await store.append(first[0]);
  const call = async () => {
    for (const wave of made) await Promise.all(wave.map((one) => store.append(one)));
  };
  let micros;
  const all = async () => (micros = await timed(call));
  const block = watch ? (await longestBlock(all)).longest : await all().then(() => undefined);
  const held = await store.keys();
  await store.close();
  mustHold(held, keysOf([...first, ...made.flat()]), path);
  return { micros: micros / (waves * width), perSecond: (waves * width * 1e6) / micros, block };
}

/** Batches, each awaited. */
export async function batches(open, { path, count, size, watch }, state) {
  const store = await open(path);
  const first = fresh(1, state);
  const made = Array.from({ length: count }, () => fresh(size, state));
  await store.append(first[0]);
  const took = [];
  const call = async () => {
    for (const batch of made) took.push(await timed(() => store.appendMany(batch)));
  };
  const block = watch ? (await longestBlock(call)).longest : await call().then(() => undefined);
  const held = await store.keys();
  await store.close();
  mustHold(held, keysOf([...first, ...made.flat()]), path);
  const micros = quantile(took, 0.5) / size;
  return { micros, perSecond: 1e6 / micros, block };
}

/**
 * A process of a crowd: appends once, so that all is open and warm. It keeps the store for
 * `appendOfCrowd`.
 */
export async function joinCrowd(open, { path }, state) {
  const store = await open(path);
  const first = fresh(1, state);
  await store.append(first[0]);
  state.stores.set(path, store);
  return keysOf(first);
}

export async function appendOfCrowd(_open, { path, count }, state) {
  const store = state.stores.get(path);
  const made = fresh(count, state);
  const began = process.hrtime.bigint();
  const took = await eachAwaited(store, made);
  const ended = process.hrtime.bigint();
  return { began: Number(began), ended: Number(ended), took, keys: keysOf(made) };
}

export async function leaveCrowd(_open, { path }, state) {
  await state.stores.get(path).close();
  state.stores.delete(path);
}

/** The `key` of every event in a store. */
export async function keys(open, { path }) {
  const store = await open(path);
  const held = await store.keys();
  await store.close();
  return held;
}

/**
 * Appends to a store that is kept open, to measure it as it grows. `from` is the number of
 * events in the store.
 */
export async function keep(open, { path, from, warmUp }, state) {
  const store = await open(path);
  state.next = from;
  await eachAwaited(store, fresh(warmUp, state));
  state.stores.set(path, store);
  return warmUp;
}

export async function appendKept(_open, { path, from, count, watch }, state) {
  const store = state.stores.get(path);
  state.next = from;
  const made = fresh(count, state);
  let took = [];
  const call = async () => (took = await eachAwaited(store, made));
  const block = watch ? (await longestBlock(call)).longest : await call().then(() => undefined);
  return { ...figures(took), block };
}

export async function letGo(_open, { path, expected }, state) {
  const store = state.stores.get(path);
  const held = store.count ? await store.count() : (await store.keys()).length;
  await store.close();
  state.stores.delete(path);
  must(held === expected, `${path} holds ${held} of ${expected} events`);
}

/** What a process has to wait for that has just begun: to open the store, and to append once. */
export async function cold(open, { path, from }) {
  const made = event(from);
  let store;
  const micros = await timed(async () => {
    store = await open(path);
    await store.append(made);
  });
  await store.close();
  return { micros };
}
