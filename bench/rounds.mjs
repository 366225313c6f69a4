// Contestants in turn: what the machine does meanwhile hits all of them.
import { summary } from './numbers.mjs';

/**
 * Runs each contestant once a round, every other round in the other order. A contestant returns an
 * object of figures, or undefined to be left out of that round.
 */
export async function inTurn(rounds, contestants) {
  const names = Object.keys(contestants);
  const figures = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 ? [...names].reverse() : names) {
      figures[name].push(await contestants[name](round));
    }
  }
  return figures;
}

/** Median and spread of each figure of each contestant. */
export function summaries(figures) {
  return Object.fromEntries(
    Object.entries(figures).map(([name, rounds]) => {
      const metrics = Object.keys(rounds[0]).filter((metric) => Number.isFinite(rounds[0][metric]));
      return [
        name,
        Object.fromEntries(metrics.map((m) => [m, summary(rounds.map((round) => round[m]))])),
      ];
    }),
  );
}

/**
 * The ratio of two contestants: the median of the ratios of the rounds, with the least and the
 * most. Undefined where one of them did not run.
 */
export function ratio(figures, of, to, metric = 'micros') {
  if (!figures[of] || !figures[to]) return undefined;
  const ratios = figures[of].map((one, round) => one[metric] / figures[to][round][metric]);
  return { of, to, metric, ...summary(ratios) };
}
