'use strict';

const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const { basename, dirname, isAbsolute, join } = require('node:path');
const { ChronicleError, causeOf, isChronicleError } = require('../binding/errors.js');
const { printable } = require('../binding/printable.js');

/** @typedef {import('node:fs').BigIntStats} Stats */

const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_WRONLY } = fs.constants;

// A new file gets what the umask leaves of it, as with any other program.
const NEW_MODE = 0o666;

// Until it has its name, nobody else is to read it.
const PRIVATE_MODE = 0o600;

/** As deep as the system follows links. */
const MAX_LINKS = 40;

/** @type {Record<string, number>} */
const STANDARD = { '/dev/stdin': 0, '/dev/stdout': 1, '/dev/stderr': 2 };

/**
 * A file that a command writes besides a log. What stands at its path decides how. A regular file, or
 * nothing: the content is written beside it and takes its place when it is whole. A device, FIFO or
 * socket: it is written into.
 */
class OutputFile {
  #path;
  /** @type {number | undefined} */
  #descriptor;
  /** @type {{ temporary: string, place: string } | undefined} what takes the place of what */
  #move;

  /** @param {string} path whose symlinks are followed, here and once */
  constructor(path) {
    this.#path = path;
    try {
      const old = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
      if (old?.isDirectory()) throw new ChronicleError('EVALIDATION', 'it is a folder');
      if (old === undefined || old.isFile()) this.#begin(old);
    } catch (thrown) {
      this.discard();
      throw failure(path, thrown);
    }
  }

  /** @param {Stats | undefined} old */
  #begin(old) {
    const place = old === undefined ? placeOfNew(this.#path) : fs.realpathSync(this.#path);
    const temporary = join(dirname(place), temporaryName());
    const mode = old === undefined ? NEW_MODE : PRIVATE_MODE;
    this.#descriptor = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    this.#move = { temporary, place };
    if (old !== undefined) takeOver(old, this.#descriptor);
  }

  /** A stream into it. What is no regular file is opened as a shell opens it: a FIFO waits for a reader. */
  stream() {
    const descriptor = this.#descriptor;
    // A number is taken, too, and makes no file that has gone meanwhile.
    const flags = /** @type {any} */ (O_WRONLY);
    if (descriptor === undefined) return fs.createWriteStream(this.#path, { flags });
    return fs.createWriteStream(this.#path, { fd: descriptor, autoClose: false });
  }

  /**
   * All of it at once, without waiting.
   *
   * @param {string} text
   */
  write(text) {
    const bytes = Buffer.from(text);
    try {
      this.#descriptor ??= fs.openSync(this.#path, O_WRONLY | O_NONBLOCK);
      for (let at = 0; at < bytes.length;) at += fs.writeSync(this.#descriptor, bytes, at);
    } catch (thrown) {
      this.discard();
      throw failure(this.#path, thrown);
    }
  }

  /** Puts what was written on the disk and in its place. */
  commit() {
    try {
      if (this.#move === undefined) return this.#close();
      const { temporary, place } = this.#move;
      fs.fsyncSync(/** @type {number} */ (this.#descriptor));
      this.#close();
      fs.renameSync(temporary, place);
      this.#move = undefined;
      syncFolder(dirname(place));
    } catch (thrown) {
      this.discard();
      throw failure(this.#path, thrown);
    }
  }

  /** Leaves what stands at the path as it is, and nothing beside it. */
  discard() {
    const move = this.#move;
    this.#move = undefined;
    // What made it be discarded is what the user is to see, not what fails here.
    for (const step of [() => this.#close(), () => move && fs.unlinkSync(move.temporary)]) {
      try {
        step();
      } catch {
        continue;
      }
    }
  }

  #close() {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/**
 * The descriptor of this process that a path names, as `/dev/stdout` does: it is written into,
 * whatever file is behind it.
 *
 * @param {string} path
 * @returns {number | undefined}
 */
function descriptorOf(path) {
  let name = path;
  for (let links = 0; links < MAX_LINKS; links += 1) {
    if (Object.hasOwn(STANDARD, name)) return STANDARD[name];
    const [, number] = /^\/(?:dev|proc\/self)\/fd\/(\d+)$/.exec(name) ?? [];
    if (number !== undefined) return Number(number);
    const target = targetOf(name);
    if (target === undefined) return undefined;
    name = target;
  }
  return undefined;
}

/**
 * Where a symlink leads.
 *
 * @param {string} path
 * @returns {string | undefined} nothing if it is none
 */
function targetOf(path) {
  const link = fs.lstatSync(path, { throwIfNoEntry: false });
  if (!link?.isSymbolicLink()) return undefined;
  const target = fs.readlinkSync(path);
  return isAbsolute(target) ? target : join(fs.realpathSync(dirname(path)), target);
}

/**
 * The place of a file that is not there yet. A link that leads to nothing leads to it.
 *
 * @param {string} path
 */
function placeOfNew(path) {
  let place = path;
  for (let links = 0; links < MAX_LINKS; links += 1) {
    const target = targetOf(place);
    if (target === undefined) break;
    place = target;
  }
  return join(fs.realpathSync(dirname(place)), basename(place));
}

/**
 * Mode and owner of the file whose place is taken. Where the owner cannot be kept, the rights that
 * the group had are not given to another one.
 *
 * @param {Stats} old
 * @param {number} descriptor
 */
function takeOver(old, descriptor) {
  const mode = Number(old.mode & 0o777n);
  const made = fs.fstatSync(descriptor, { bigint: true });
  const isKept =
    (made.uid === old.uid && made.gid === old.gid) ||
    changesOwner(descriptor, old.uid, old.gid) ||
    changesOwner(descriptor, made.uid, old.gid);
  fs.fchmodSync(descriptor, isKept ? mode : mode & 0o707);
}

/**
 * @param {number} descriptor
 * @param {bigint} owner
 * @param {bigint} group
 */
function changesOwner(descriptor, owner, group) {
  try {
    fs.fchownSync(descriptor, Number(owner), Number(group));
    return true;
  } catch (thrown) {
    if (!['EPERM', 'EINVAL', 'ENOSYS'].includes(String(causeOf(thrown).code))) throw thrown;
    return false;
  }
}

/** Short, so that it fits wherever the name that is to be had fits. */
function temporaryName() {
  return `.chr-${randomBytes(6).toString('hex')}`;
}

/**
 * The name is on the disk when the folder is.
 *
 * @param {string} folder
 */
function syncFolder(folder) {
  let descriptor;
  try {
    descriptor = fs.openSync(folder, 'r');
    fs.fsyncSync(descriptor);
  } catch (thrown) {
    // Windows opens no folders, and some file systems sync none.
    const { code } = causeOf(thrown);
    if (!['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP'].includes(String(code))) throw thrown;
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor);
  }
}

/**
 * @param {string} path
 * @param {unknown} thrown
 */
function failure(path, thrown) {
  const cause = causeOf(thrown);
  const message = `cannot write ${printable(path)}: ${cause.message}`;
  if (isChronicleError(thrown)) return new ChronicleError(thrown.code, message, { path });
  return new ChronicleError('EIO', message, { path, cause });
}

module.exports = { OutputFile, descriptorOf };
