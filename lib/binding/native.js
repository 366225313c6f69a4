'use strict';

const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { name: packageName, version } = require('../../package.json');

/**
 * The platform in the names of addon packages: operating system, processor and, where several
 * exist, the C library.
 */
function triple() {
  const { arch, platform } = process;
  if (platform === 'win32') return `${platform}-${arch}-msvc`;
  return platform === 'linux' ? `${platform}-${arch}-${libc()}` : `${platform}-${arch}`;
}

/** The C library: the report of Node.js has a version of glibc, and none with musl. */
function libc() {
  const { header } = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  );
  return header.glibcVersionRuntime === undefined ? 'musl' : 'gnu';
}

/**
 * The setting that forbids addons. Where there is one, installing the right package does not help.
 *
 * @param {any} cause the error of the generated loader; its causes are the errors before
 * @returns {string | undefined}
 */
function prohibition(cause) {
  for (let error = cause, depth = 0; error && depth < 100; error = error.cause, depth += 1) {
    // Of some errors the loader keeps only the message.
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

/** @param {unknown} cause the error of the generated loader */
function bindingError(cause) {
  const forbidden = prohibition(cause);
  if (forbidden !== undefined) {
    const message = `the addon of ${packageName} may not be loaded: ${forbidden}`;
    return Object.assign(new Error(message, { cause }), { code: 'ERR_CHRONICLE_BINDING' });
  }
  const { arch, platform } = process;
  const system = platform === 'linux' ? `${platform} ${arch} (${libc()})` : `${platform} ${arch}`;
  const message = [
    `the addon of ${packageName} for ${system} cannot be loaded; it comes with the package ${packageName}-${triple()}`,
    '- npm: install again without omitting optional dependencies (no --omit=optional), by npm 11.3 or newer: older ones may leave out what a lock file of another platform does not list',
    '- pnpm: add this platform to supportedArchitectures and install again',
    '- or build it from a clone of the sources with: npm run setup',
  ].join('\n');
  return Object.assign(new Error(message, { cause }), { code: 'ERR_CHRONICLE_BINDING' });
}

/** The possible names of this platform. Asking for the C library would cost some milliseconds. */
function triples() {
  const { arch, platform } = process;
  if (platform === 'linux') return ['gnu', 'musl'].map((name) => `${platform}-${arch}-${name}`);
  return [triple()];
}

/**
 * Refuses an addon of another version of this package: both must agree on the binding and on the
 * file format. The loader uses no package if the addon lies beside binding.js or the environment
 * names it.
 */
function checkVersion() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return;
  const folder = join(__dirname, '..', '..');
  for (const name of triples()) {
    if (existsSync(join(folder, `chronicle.${name}.node`))) return;
  }
  for (const name of triples().map((triple) => `${packageName}-${triple}`)) {
    const found = versionOf(name);
    if (found === undefined || found === version) continue;
    const message = [
      `${packageName} ${version} needs ${name} of the same version, and found ${found}`,
      '- install again, so that the lock file has the same version of both; no override may name one of them alone',
    ].join('\n');
    throw Object.assign(new Error(message), { code: 'ERR_CHRONICLE_VERSION' });
  }
}

/**
 * @param {string} name of a package
 * @returns {string | undefined} undefined if the package is not installed
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
