'use strict';

const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { version } = require('../../package.json');

/**
 * The name of this platform as the packages with the addon have it: operating system, processor
 * and, where there are several, the C library.
 */
function triple() {
  const { arch, platform } = process;
  if (platform === 'win32') return `${platform}-${arch}-msvc`;
  return platform === 'linux' ? `${platform}-${arch}-${libc()}` : `${platform}-${arch}`;
}

/** Node.js names its glibc in the report; with musl there is none to name. */
function libc() {
  const { header } = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  );
  return header.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
}

/**
 * What forbids addons, where something does: then the right package is of no use.
 *
 * @param {any} cause what the generated loader threw, with what it threw before as its causes
 * @returns {string | undefined}
 */
function prohibition(cause) {
  for (let error = cause, depth = 0; error && depth < 100; error = error.cause, depth += 1) {
    // The loader keeps the messages alone.
    const { code, name } = error;
    const message = String(error.message);
    if (code === 'ERR_DLOPEN_DISABLED' || message.includes('loading addons is disabled')) {
      return /** @type {any} */ (process).permission === undefined
        ? 'Node.js was started with --no-addons (also in NODE_OPTIONS), which forbids every addon: start it without'
        : 'the permission model of Node.js forbids addons: start it with --allow-addons, too';
    }
    if (code === 'ERR_ACCESS_DENIED' || message.startsWith('Access to this API')) {
      return 'the permission model of Node.js forbids to read it: start it with --allow-fs-read for the folder of the package, and with --allow-addons';
    }
    if (name === 'NotCapable' || /requires ffi access/i.test(message)) {
      return 'Deno was started without the permission for addons: start it with --allow-ffi';
    }
  }
  return undefined;
}

/** @param {unknown} cause what the generated loader threw */
function bindingError(cause) {
  const forbidden = prohibition(cause);
  if (forbidden !== undefined) {
    const message = `the addon of @sage/chronicle may not be loaded: ${forbidden}`;
    return Object.assign(new Error(message, { cause }), { code: 'ERR_CHRONICLE_BINDING' });
  }
  const { arch, platform } = process;
  const system = platform === 'linux' ? `${platform} ${arch} (${libc()})` : `${platform} ${arch}`;
  const message = [
    `the addon of @sage/chronicle for ${system} cannot be loaded; it comes with the package @sage/chronicle-${triple()}`,
    '- npm: install again without omitting optional dependencies (no --omit=optional), by npm 11.3 or newer: older ones may leave out what a lock file of another platform does not list',
    '- pnpm: add this platform to supportedArchitectures and install again',
    '- or build it from a clone of the sources with: npm run setup',
  ].join('\n');
  return Object.assign(new Error(message, { cause }), { code: 'ERR_CHRONICLE_BINDING' });
}

/** The names that this platform's addon may have; asking for the C library would cost each start some milliseconds. */
function triples() {
  const { arch, platform } = process;
  if (platform === 'linux') return ['gnu', 'musl'].map((name) => `${platform}-${arch}-${name}`);
  return [triple()];
}

/**
 * Refuses an addon that was made for another version of this package: the two speak to each other, and to the file, as
 * one. Where the addon lies beside binding.js, or is named by the environment, the loader does not ask for a package.
 */
function checkVersion() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return;
  const folder = join(__dirname, '..', '..');
  for (const name of triples()) {
    if (existsSync(join(folder, `chronicle.${name}.node`))) return;
  }
  for (const name of triples().map((triple) => `@sage/chronicle-${triple}`)) {
    const found = versionOf(name);
    if (found === undefined || found === version) continue;
    const message = [
      `@sage/chronicle ${version} needs ${name} of the same version, and found ${found}`,
      '- install again, so that the lock file has the same version of both; no override may name one of them alone',
    ].join('\n');
    throw Object.assign(new Error(message), { code: 'ERR_CHRONICLE_VERSION' });
  }
}

/**
 * @param {string} name of a package
 * @returns {string | undefined} undefined where it is not installed
 */
function versionOf(name) {
  try {
    return require(`${name}/package.json`).version;
  } catch {
    return undefined;
  }
}

/** @returns {typeof import('../../binding.js')} */
function load() {
  checkVersion();
  try {
    return require('../../binding.js');
  } catch (thrown) {
    throw bindingError(thrown);
  }
}

module.exports = load();
