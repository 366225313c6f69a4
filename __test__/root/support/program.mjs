// Child programs of the suites; all are ended by their pid.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { later, scratch } from './suite.mjs';

const testFolder = new URL('../../', import.meta.url);
let logs = 0;

/** A child whose output goes to a file: what it printed is there, whatever becomes of it. */
export class Program {
  #child;
  #log = scratch(`output${(logs += 1)}`);

  constructor(command, args, stderr = 'inherit') {
    const out = openSync(this.#log, 'w');
    this.#child = spawn(command, args, { stdio: ['pipe', out, stderr] });
    closeSync(out);
    this.#child.stdin.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.#child.on('error', resolve);
      this.#child.on('exit', resolve);
    });
    this.over = false;
    this.ended.then(() => (this.over = true));
    later(() => this.over || this.#child.kill('SIGKILL'));
  }

  static ours(name, ...args) {
    return new Program(process.execPath, [fileURLToPath(new URL(name, testFolder)), ...args]);
  }

  get pid() {
    return this.#child.pid;
  }

  get lines() {
    const text = readFileSync(this.#log, 'utf8');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .slice(0, -1);
  }

  send(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  async kill() {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** Stops every thread; a call that is under way in the kernel comes to its end first. */
  async stop() {
    this.#child.kill('SIGSTOP');
    await this.until(() => /^State:\s+T/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8')));
  }

  async until(holds, limitMs = 60_000) {
    const end = Date.now() + limitMs;
    while (!holds()) {
      if (this.over) throw new Error(`the program ended early: ${this.lines.at(-1)}`);
      if (Date.now() > end) throw new Error(`no answer: ${this.lines.at(-1)}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async line(fits) {
    await this.until(() => this.lines.some(fits));
    return this.lines.find(fits);
  }

  /** What a writer-process was acknowledged. */
  acks() {
    return this.lines
      .filter((line) => line.startsWith('["done"'))
      .map((line) => JSON.parse(line))
      .filter(([, , , outcome]) => outcome === 'acked')
      .map(([, mark, , , receipt]) => ({ mark, ...receipt }));
  }

  /** The marks of a writer-process whose appends were rejected with `written: 'no'`. */
  refusals() {
    return this.lines
      .filter((line) => line.startsWith('["done"') && line.includes('"refused"'))
      .map((line) => JSON.parse(line)[1]);
  }
}

export async function startWriters(jobs) {
  const writers = jobs.map((job) => Program.ours('writer-process.mjs', JSON.stringify(job)));
  for (const writer of writers) await writer.line((line) => line === 'ready');
  for (const writer of writers) writer.send('go');
  return writers;
}

/** A process whose calls into the package the suite makes. */
export class Driven extends Program {
  #asked = 0;

  static start() {
    return new Driven(process.execPath, [fileURLToPath(new URL('driven-process.mjs', testFolder))]);
  }

  /** One whose system calls strace changes as `injection` says. */
  static under(injection) {
    const strace = ['-D', '-f', '-qq', '-o', '/dev/null', '-e', `inject=${injection}`];
    const program = fileURLToPath(new URL('driven-process.mjs', testFolder));
    return new Driven('strace', [...strace, process.execPath, program]);
  }

  async call(name, ...args) {
    const n = (this.#asked += 1);
    this.send(JSON.stringify({ n, call: name, args }));
    return JSON.parse(await this.line((text) => text.startsWith(`{"n":${n},`)));
  }
}

export function note(mark) {
  return {
    type: 'NOTE_TAKEN',
    timestamp: '2026-01-02T03:04:05.678Z',
    actor: { agent: 'test', id: mark.split(':')[0] },
    mark,
  };
}
