'use strict';

/** @typedef {import('./arguments.js').Command} Command */

const MAX_COLUMNS = 100;

const EXIT_CODES = [
  ['0', 'good; also when nobody reads the output any more, but for verify'],
  ['1', 'verify found something, or it failed'],
  ['2', 'the command line was not understood'],
  ['3', 'the lock was not free in time'],
];

/** @param {readonly Command[]} commands */
function generalHelp(commands) {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return [
    'Usage: chronicle COMMAND [OPTION...] FILE',
    '',
    'Append-only NDJSON event logs that many processes write at once.',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    '',
    'Exit codes:',
    ...EXIT_CODES.map(([code, meaning]) => `  ${code}  ${meaning}`),
    '',
    'chronicle COMMAND --help has the options of a command and examples; chronicle --version the version.',
  ].join('\n');
}

/** @param {Command} command */
function commandHelp({ name, summary, words, more = [], options, examples }) {
  const left = options.map(({ name: option, short, value }) => {
    const letter = short ? `-${short}, ` : '    ';
    return `  ${letter}--${option}${value ? ` ${value}` : ''}`;
  });
  const width = Math.max(...left.map((text) => text.length)) + 2;
  return [
    `Usage: chronicle ${name} [OPTION...] ${words}`,
    '',
    `${summary[0]?.toUpperCase()}${summary.slice(1)}.`,
    ...more.flatMap((paragraph) => ['', ...wrapped(paragraph, MAX_COLUMNS)]),
    '',
    'Options:',
    ...options.flatMap(({ help }, n) => {
      const [first = '', ...others] = wrapped(help, MAX_COLUMNS - width);
      return [
        `${left[n]?.padEnd(width)}${first}`,
        ...others.map((line) => ' '.repeat(width) + line),
      ];
    }),
    '',
    'Examples:',
    ...examples.flatMap(([line, what]) => [`  # ${what}`, `  ${line}`]),
  ].join('\n');
}

/**
 * @param {string} text
 * @param {number} width
 */
function wrapped(text, width) {
  const lines = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line += line === '' ? word : ` ${word}`;
    }
  }
  return [...lines, line];
}

module.exports = { commandHelp, generalHelp };
