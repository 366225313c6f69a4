// A process with one version of the package, as the test sees it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('member.cjs', import.meta.url));
/** Against hanging. */
const LIMIT_MS = 60_000;

const living = new Set();

export class Member {
  #process;
  #waiting = new Map();
  #last = 0;

  /** Starts a process with the package that is installed in `folder`. */
  static async start(folder) {
    const member = new Member();
    member.#process = fork(program, [folder], { execArgv: ['--no-warnings'] });
    living.add(member.#process);
    const ready = member.#answer('ready', 'start');
    member.#process.on('message', (message) => member.#settle(message));
    member.#process.once('exit', (code, signal) => {
      living.delete(member.#process);
      for (const { reject } of member.#waiting.values()) {
        reject(new Error(`a process ended with ${signal ?? code}`));
      }
    });
    await ready;
    return member;
  }

  /** Ends what a test left. */
  static endAll() {
    return Promise.all(
      [...living].map((process) => {
        const ended = once(process, 'exit');
        process.kill('SIGKILL');
        return ended;
      }),
    );
  }

  /** Has a call of `member.cjs` made there. */
  ask(call, ...args) {
    const id = (this.#last += 1);
    const answer = this.#answer(id, `${call}(${JSON.stringify(args).slice(0, 200)})`);
    this.#process.send({ id, call, args });
    return answer;
  }

  #answer(id, what) {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`no answer to ${what}`));
      const timer = setTimeout(late, LIMIT_MS);
      const settled = (settle) => (value) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        settle(value);
      };
      this.#waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
    });
  }

  #settle({ id, value, error }) {
    const waiting = this.#waiting.get(id);
    if (error) waiting?.reject(Object.assign(new Error(error.message), error));
    else waiting?.resolve(value);
  }

  async stop() {
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }
}
