// A contestant as its parent sees it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('contestant.mjs', import.meta.url));

export class Child {
  static #all = new Set();
  #process;
  #answer = resolvers();

  static async start(nodeOptions = []) {
    const child = new Child();
    child.#process = fork(program, { execArgv: nodeOptions });
    Child.#all.add(child.#process);
    child.#process.once('exit', () => Child.#all.delete(child.#process));
    child.#process.on('message', (message) => child.#settle(message));
    child.#process.once('exit', (code, signal) =>
      child.#settle({ error: `a contestant ended with ${signal ?? code}` }),
    );
    await child.#answer.promise;
    return child;
  }

  /** Ends all at once, whatever they do. */
  static async killAll() {
    await Promise.all(
      [...Child.#all].map((process) => {
        const ended = once(process, 'exit');
        process.kill('SIGKILL');
        return ended;
      }),
    );
  }

  #settle({ value, error, code }) {
    if (error === undefined) this.#answer.resolve(value);
    else this.#answer.reject(Object.assign(new Error(error), { code }));
  }

  /** Has a task of `tasks/` done, with the adapter of that name. */
  run(adapter, task, args = {}) {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
      throw new Error('a contestant has ended');
    }
    this.#answer = resolvers();
    this.#process.send({ adapter, task, args });
    return this.#answer.promise;
  }

  async stop() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#answer = resolvers();
    this.#answer.promise.catch(() => {});
    this.#process.disconnect();
    await ended;
  }
}

function resolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** Starts a process, has it do one task and stops it. */
export async function runOnce(adapter, task, args, nodeOptions) {
  const child = await Child.start(nodeOptions);
  try {
    return await child.run(adapter, task, args);
  } finally {
    await child.stop();
  }
}
