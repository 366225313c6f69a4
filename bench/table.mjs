// Figures as text.

export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A number with three digits that count. */
export function short(value) {
  if (value === undefined || !Number.isFinite(value)) return '';
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return value
    .toPrecision(3)
    .replace(/(\.\d*?)0+$/, '$1')
    .replace(/\.$/, '');
}

export const spread = ({ least, most }) => `${short(least)} to ${short(most)}`;

/** Names, units and order of what a workload measures of a contestant. */
const columns = {
  micros: 'us each',
  perSecond: 'each second',
  millis: 'ms',
  p50: 'p50 us',
  p99: 'p99 us',
  longest: 'longest us',
  slowest: 'slowest us',
  rate: 'MB/s',
  megabytes: 'MB over bare',
  peak: 'peak MB over bare',
  threads: 'threads',
  descriptors: 'descriptors',
  block: 'event loop held ms',
};

/** The contestants of a workload, a line each, medians with the spread of the first figure. */
export function contestantRows(rows) {
  const names = Object.keys(rows);
  const there = Object.keys(columns).filter((column) => names.some((name) => column in rows[name]));
  const head = [
    '',
    ...there.flatMap((column, n) => (n ? [columns[column]] : [columns[column], 'spread'])),
  ];
  const value = (cell) => (typeof cell === 'number' ? cell : cell?.median);
  const body = names.map((name) => [
    name,
    ...there.flatMap((column, n) => {
      const cell = rows[name][column];
      return n ? [short(value(cell))] : [short(value(cell)), cell ? spread(cell) : ''];
    }),
  ]);
  return [head, ...body];
}
