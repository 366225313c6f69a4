// The state of a run: folder, rounds, sizes, the contestants that can take part, and their
// processes.
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adapters } from './adapters/index.mjs';
import { Child, runOnce } from './child.mjs';

/** Contestants that need a package, and which. */
const packages = {
  'better-sqlite3': 'better-sqlite3',
  lmdb: 'lmdb',
  'proper-lockfile': 'proper-lockfile',
  'sonic-boom': 'sonic-boom',
};

export class Bench {
  #files = 0;

  constructor({ options, there, c, hash, say }) {
    const { quick } = options;
    this.root = mkdtempSync(join(options.folder ?? tmpdir(), 'chronicle-bench-'));
    this.rounds = options.rounds ?? (quick ? 3 : 11);
    this.sizes = options.sizes ?? (quick ? [10_000, 100_000] : [10_000, 100_000, 1_000_000]);
    this.crowds = options.crowds ?? (quick ? [2, 10] : [2, 10, 100]);
    /** Appends of a round: of those that are quick, and of the others. */
    this.many = options.appends ?? (quick ? 200 : 500);
    this.few = Math.ceil(this.many / 5);
    /** Thousands of appends of a round. */
    this.waves = options.appends ? 2 : 10;
    /** Chronicles open at once. */
    this.logs = options.appends ? 100 : 10_000;
    this.c = c;
    this.hash = hash;
    this.say = say;
    this.withPeers = options.peers;
    this.there = there;
  }

  async begin() {
    const path = this.fresh();
    await runOnce('ours', 'fill', { path, from: 500, count: 1 });
    /**
     * The length of a line of ours with its newline. The programs in C write lines of this
     * length.
     */
    this.lineLength = statSync(path).size;
  }

  /** A new folder. */
  folder() {
    const folder = join(this.root, String((this.#files += 1)));
    mkdirSync(folder);
    return folder;
  }

  /** A path where nothing is yet, in a folder of its own. */
  fresh() {
    return join(this.folder(), 'log.sage');
  }

  /** Long logs take long to read: fewer rounds of those. */
  roundsAt(size) {
    return Math.min(this.rounds, size > 1_000_000 ? 3 : size >= 1_000_000 ? 7 : this.rounds);
  }

  /** Those of `names` that can take part. */
  peers(...names) {
    if (!this.withPeers) return [];
    return names.filter(
      (name) => name in adapters && (!packages[name] || this.there.includes(packages[name])),
    );
  }

  end() {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A process for each contestant while `call` runs. */
export async function withChildren(names, call, nodeOptions) {
  const children = {};
  try {
    for (const name of names) children[name] = await Child.start(nodeOptions);
    return await call(children);
  } finally {
    await Promise.all(Object.values(children).map((child) => child.stop()));
  }
}
