// The command line of the benchmark.
import { parseArgs } from 'node:util';

export const usage = `npm run bench -- [WORKLOAD ...] [OPTION ...]

  --rounds N       rounds of each workload, each contestant once a round (default: 11, with --quick 3)
  --sizes N,...    sizes of logs in events, also as 1e6 (default: 1e4,1e5,1e6)
  --crowds N,...   numbers of processes (default: 2,10,100)
  --appends N      appends of a round (default: 500)
  --quick          few rounds, small logs: about three minutes in all
  --against PATH   in turns with another build of this package, as scripts/prove/previous.mjs makes one: only the two,
                   in the workloads of bench/against.mjs
  --no-peers       only ours and the programs in C
  --folder PATH    the file system to measure on (default: the temporary folder)
  --out PATH       where the figures go as JSON (default: bench/results/last.json)
  --help`;

const numbers = (text) => text.split(',').map(Number);

/** What the command line says, or an Error that says what is wrong with it. */
export function optionsOf(args, known) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      sizes: { type: 'string' },
      crowds: { type: 'string' },
      appends: { type: 'string' },
      quick: { type: 'boolean', default: false },
      against: { type: 'string' },
      'no-peers': { type: 'boolean', default: false },
      folder: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new Error(
      `unknown workload: ${unknown.join(', ')}\nthe workloads are: ${known.join(' ')}`,
    );
  }
  const options = {
    workloads: positionals.length > 0 ? known.filter((name) => positionals.includes(name)) : known,
    quick: values.quick,
    peers: !values['no-peers'],
    against: values.against,
    folder: values.folder,
    out: values.out,
    help: values.help,
    rounds: values.rounds && Number(values.rounds),
    appends: values.appends && Number(values.appends),
    sizes: values.sizes && numbers(values.sizes),
    crowds: values.crowds && numbers(values.crowds),
  };
  for (const name of ['rounds', 'appends', 'sizes', 'crowds']) {
    const wrong = [options[name] ?? 1].flat().find((n) => !Number.isInteger(n) || n < 1);
    if (wrong !== undefined) throw new Error(`--${name} takes whole numbers from 1`);
  }
  return options;
}
