import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Child } from './child';

export const bin = fileURLToPath(new URL('../bin/chronicle.js', import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Option {
  name: string;
  value?: string;
  short?: string;
}

export interface Command {
  name: string;
  words: string;
  options: Option[];
  examples: [line: string, what: string][];
}

const require = createRequire(import.meta.url);

/** The table that the command works by. */
export const commands: Command[] = require('../lib/cli/commands/index.js').commands;

/** What the command line means by the table; throws what is wrong with it. */
export const parse: (command: Command, args: string[]) => unknown =
  require('../lib/cli/arguments.js').parse;

/** Runs the command to its end. */
export function cli(args: string[], input: string | Buffer | null = null): Promise<Outcome> {
  return run(process.execPath, [bin, ...args], input);
}

/** Runs a line of the shell, in which `chronicle` is the command. */
export function shell(line: string, ...args: string[]): Promise<Outcome> {
  const script = `chronicle() { "$NODE" "$BIN" "$@"; }; ${line}`;
  return run('/bin/sh', ['-c', script, 'sh', ...args], null);
}

/** A command that runs until it is ended. */
export function startCli(...args: string[]): Child {
  return new Child(process.execPath, [bin, ...args]);
}

export function run(
  command: string,
  args: string[],
  input: string | Buffer | null,
): Promise<Outcome> {
  const env = { ...process.env, NODE: process.execPath, BIN: bin };
  const child = spawn(command, args, { env });
  const outcome = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (outcome.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (outcome.stderr += text));
  // A command that has seen enough closes its end.
  child.stdin.on('error', () => {});
  if (input !== null) child.stdin.write(input);
  child.stdin.end();
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...outcome }));
  });
}

export function parsedLines(text: string): any[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
