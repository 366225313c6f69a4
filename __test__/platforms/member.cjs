'use strict';

// One process of the behaviour suite. It prints a line for each action and ends with its standard
// input.
const { writeSync } = require('node:fs');
const chronicle = require('../../index.js');
const { note } = require('./note.cjs');

const [task, file, ...rest] = process.argv.slice(2);
const say = (/** @type {string} */ line) => writeSync(1, `${line}\n`);

const tasks = {
  /** Holds the lock until standard input ends. */
  async hold() {
    const lock = await chronicle.lockChronicles([file], { lockTimeoutMs: 60_000 });
    say('held');
    process.stdin.resume();
    await new Promise((resolve) => process.stdin.once('end', resolve));
    await lock.release();
    say('released');
  },

  /** Appends events of its own, and between them some that all members append. */
  async write() {
    const [name, count] = rest;
    const options = { lockTimeoutMs: 60_000 };
    for (let at = 0; at < Number(count); at += 1) {
      const own = chronicle.append(file, note(`${name}:${at}`), options);
      const common = chronicle.append(file, note(`all:${at}`), options);
      for (const { seq, duplicate, durable } of await Promise.all([own, common])) {
        if (!durable) throw new Error('a receipt that is not durable');
        say(`${duplicate ? 'duplicate' : 'appended'} ${seq}`);
      }
    }
  },

  /** Appends one event and says what the receipt says. */
  async once() {
    const { seq, duplicate } = await chronicle.append(file, note(rest[0]), {
      lockTimeoutMs: 60_000,
    });
    say(`${duplicate ? 'duplicate' : 'appended'} ${seq}`);
  },
};

tasks[/** @type {keyof typeof tasks} */ (task)]().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
