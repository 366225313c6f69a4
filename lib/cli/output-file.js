'use strict';

const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const { basename, dirname, isAbsolute, join } = require('node:path');
const { ChronicleError, causeOf, isChronicleError } = require('../binding/errors.js');
const { printable } = require('../binding/printable.js');

/** @typedef {import('node:fs').BigIntStats} Stats */

const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_WRONLY } = fs.constants;

// The mode of a new file; the umask applies.
const NEW_MODE = 0o666;

// The mode of a replacement until its commit: other users must not read it.
const PRIVATE_MODE = 0o600;

/** The most links that the system follows. */
const MAX_LINKS = 40;

/** @type {Record<string, number>} */
const STANDARD = { '/dev/stdin': 0, '/dev/stdout': 1, '/dev/stderr': 2 };

/**
 * A file that a command writes besides a log. A regular or missing file: the content is written to
 * a temporary file beside it, which replaces it once complete. A device, FIFO or socket is written
 * directly.
 */
class OutputFile {
  #path;
  /** @type {number | undefined} */
  #descriptor;
  /** @type {{ temporary: string, place: string } | undefined} the rename of the commit */
  #move;

  /** @param {string} path symlinks are followed once, in the constructor */
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

  /** A stream into the file. A FIFO waits for a reader, as when a shell opens it. */
  stream() {
    const descriptor = this.#descriptor;
    // Numeric flags without `O_CREAT`: a file that was removed meanwhile is not created.
    const flags = /** @type {any} */ (O_WRONLY);
    if (descriptor === undefined) return fs.createWriteStream(this.#path, { flags });
    return fs.createWriteStream(this.#path, { fd: descriptor, autoClose: false });
  }

  /**
   * Writes the whole text synchronously.
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

  /** Syncs the content and renames it to its path. */
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

  /** Removes the temporary file. The file at the path stays as it was. */
  discard() {
    const move = this.#move;
    this.#move = undefined;
    // The user shall see the error that led here, not one of the cleanup.
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
 * The descriptor of this process that a path such as `/dev/stdout` names. It is written directly,
 * whatever file it has.
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
 * The target of a symlink.
 *
 * @param {string} path
 * @returns {string | undefined} undefined if the path is no symlink
 */
function targetOf(path) {
  const link = fs.lstatSync(path, { throwIfNoEntry: false });
  if (!link?.isSymbolicLink()) return undefined;
  const target = fs.readlinkSync(path);
  return isAbsolute(target) ? target : join(fs.realpathSync(dirname(path)), target);
}

/**
 * The path of a missing file; a dangling symlink is followed.
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
 * Copies mode and owner of the replaced file. If the group cannot be kept, the new group gets no
 * rights.
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

/** A short name, which fits wherever the final name fits. */
function temporaryName() {
  return `.chr-${randomBytes(6).toString('hex')}`;
}

/**
 * Syncs a folder, which makes a renamed file durable.
 *
 * @param {string} folder
 */
function syncFolder(folder) {
  let descriptor;
  try {
    descriptor = fs.openSync(folder, 'r');
    fs.fsyncSync(descriptor);
  } catch (thrown) {
    // Windows cannot open folders, and some file systems cannot sync them.
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
