import { fileURLToPath } from 'node:url';
import { Child, endsWell } from './child';
import type { ErrorLike } from './scratch';

export interface Answer {
  ok?: any;
  error?: ErrorLike;
}

/** A process of its own whose calls into the package the test makes. */
export class Driven {
  readonly child: Child;
  #asked = 0;

  constructor(command: string[] = [], env: NodeJS.ProcessEnv = {}) {
    const program = fileURLToPath(new URL('driven-process.mjs', import.meta.url));
    const [first = process.execPath, ...rest] = [...command, process.execPath, program];
    this.child = new Child(first, rest, env);
  }

  async call(name: string, ...args: unknown[]): Promise<Answer> {
    const n = (this.#asked += 1);
    this.child.send(JSON.stringify({ n, call: name, args }));
    const line = await this.child.line((text) => text.startsWith(`{"n":${n},`));
    return JSON.parse(line) as Answer;
  }

  /** The value of a call that must succeed. */
  async value(name: string, ...args: unknown[]): Promise<any> {
    const { ok, error } = await this.call(name, ...args);
    if (error) throw new Error(`${name} failed: ${JSON.stringify(error)}`);
    return ok;
  }

  async end(): Promise<void> {
    this.child.closeInput();
    await endsWell([this.child]);
  }
}
