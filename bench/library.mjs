// Logs that grow with the run: one for each contestant, from size to size.
import { rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child, runOnce } from './child.mjs';
import { covered, sideIndexOf } from './side-index.mjs';

export class Library {
  #bench;
  #logs = new Map();

  constructor(bench) {
    this.#bench = bench;
  }

  /** The log of a contestant: `path`, and `count`, which each append has to raise. */
  log(name) {
    if (!this.#logs.has(name)) this.#logs.set(name, { path: this.#bench.fresh(), count: 0 });
    return this.#logs.get(name);
  }

  /** Makes it `size` events long, unless it is longer. */
  async grow(name, size) {
    const log = this.log(name);
    if (log.count < size) {
      this.#bench.say(`  ${name}: a log of ${size.toLocaleString('en-US')} events`);
      await runOnce(name, 'fill', { path: log.path, from: log.count, count: size - log.count });
      log.count = size;
    }
    if (name === 'ours' || name === 'before') await this.#indexed(name, log);
    return log;
  }

  /**
   * Appends until the side index covers most of the log, as that of a long-lived writer does.
   * Ours builds the index in parts, beside its appends.
   */
  async #indexed(name, log) {
    const { size } = statSync(log.path);
    if (size < 2 ** 20 || covered(log.path) >= size * 0.79) return;
    // An index is extended by 2 MiB at least. With less to add, a short log gets a new one.
    if (size - covered(log.path) < 2 ** 21) this.dropIndex(log);
    const child = await Child.start();
    try {
      for (let n = 0; n < 600 && covered(log.path) < size * 0.8; n += 1) {
        await child.run(name, 'cold', { path: log.path, from: log.count });
        log.count += 1;
        await sleep(100);
      }
    } finally {
      await child.stop();
    }
    if (covered(log.path) < size * 0.79)
      throw new Error(`no side index of ${log.path} was made by ${name}`);
  }

  /** How many of its events have the rare type. */
  rare(name) {
    return Math.floor((this.log(name).count + 49) / 100);
  }

  /** The part of the log that the side index covers. */
  coverage(log) {
    return covered(log.path) / statSync(log.path).size;
  }

  dropIndex(log) {
    rmSync(sideIndexOf(log.path), { force: true });
    // The marker of a process that exited before it built one. With the marker there, the next
    // process builds the index first.
    rmSync(`${sideIndexOf(log.path)}-new`, { force: true });
  }
}
