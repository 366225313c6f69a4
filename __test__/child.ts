import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const running = new Set<Child>();

/** Ends what a test left running, by its pid. */
export async function endTheRest(): Promise<void> {
  const left = [...running];
  for (const child of left) child.kill('SIGKILL');
  await Promise.all(left.map((child) => child.ended));
}

/** A child program that speaks in lines. Whatever is left of it ends with the test. */
export class Child {
  readonly lines: string[] = [];
  readonly ended: Promise<End>;
  stderr = '';
  #process: ChildProcess;
  #partial = '';
  #over = false;
  #watchers = new Set<() => void>();

  constructor(command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.#process = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    running.add(this);
    // A child that is killed closes its end of the pipe at any moment.
    this.#process.stdin?.on('error', () => {});
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    this.ended = new Promise((resolve, reject) => {
      this.#process.on('error', reject);
      this.#process.on('close', (code, signal) => {
        running.delete(this);
        this.#over = true;
        this.#wake();
        resolve({ code, signal });
      });
    });
  }

  /** One of the programs beside this file, run by this Node. */
  static program(name: string, ...args: string[]): Child {
    return new Child(process.execPath, [fileURLToPath(new URL(name, import.meta.url)), ...args]);
  }

  static python(name: string, ...args: string[]): Child {
    const program = fileURLToPath(new URL(`python/${name}`, import.meta.url));
    return new Child('python3', [program, ...args]);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  send(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  closeInput(): void {
    this.#process.stdin?.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** The first line, from the given one on, that fits; rejects if the program ends without it. */
  async line(fits: (line: string) => boolean, from = 0, limitMs = 60_000): Promise<string> {
    const found = () => this.lines.find((line, index) => index >= from && fits(line));
    await this.until(() => found() !== undefined, limitMs);
    return found() ?? '';
  }

  /** Waits for a condition that only this program's output or end can change. */
  async until(holds: () => boolean, limitMs = 60_000): Promise<void> {
    if (holds()) return;
    let timer: NodeJS.Timeout | undefined;
    let watcher = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        watcher = () => {
          if (holds()) resolve();
          else if (this.#over) reject(new Error(`the program ended early: ${this.#last()}`));
        };
        timer = setTimeout(() => reject(new Error(`no answer: ${this.#last()}`)), limitMs);
        this.#watchers.add(watcher);
        watcher();
      });
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    this.lines.push(...lines);
    this.#wake();
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #last(): string {
    return `${this.lines.at(-1) ?? '(no line)'} ${this.stderr.slice(-2000)}`;
  }
}

/** Starts all at one moment: each says `ready` when it is loaded, then waits for `go`. */
export async function startTogether(children: Child[]): Promise<void> {
  await Promise.all(children.map((child) => child.line((line) => line === 'ready')));
  for (const child of children) child.send('go');
}

/** Waits for programs that must end by themselves with code 0, and without a caught panic. */
export async function endsWell(children: Child[], limitMs = 120_000): Promise<void> {
  for (const child of children) {
    const end = await within(child.ended, limitMs, 'a program did not end');
    if (end.code !== 0 || child.stderr.includes('panicked at')) {
      throw new Error(
        `a program ended with ${end.code ?? end.signal}: ${child.stderr.slice(-2000)}`,
      );
    }
  }
}

export async function within<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
