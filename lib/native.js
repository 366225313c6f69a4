'use strict';

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

/** @param {unknown} cause what the generated loader threw */
function bindingError(cause) {
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

/** @returns {typeof import('../binding.js')} */
function load() {
  try {
    return require('../binding.js');
  } catch (thrown) {
    throw bindingError(thrown);
  }
}

module.exports = load();
