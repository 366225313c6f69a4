// A registry on this machine that has the packages of some tarballs and no others, so that package
// managers install them as they would install published ones.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { manifestIn } from './tarball.mjs';

/**
 * Resolves with { url, asked, close }; `asked` are the names of the packages that were asked for
 * and are not there.
 *
 * @param {string[]} tarballs
 */
export async function startRegistry(tarballs) {
  const files = new Map(tarballs.map((path) => [basename(path), packed(path)]));
  const asked = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://registry').pathname).slice(1);
    const file = files.get(basename(path));
    if (path.includes('/-/') && file) return response.end(file.bytes);
    const found = packument(path, files, `http://${request.headers.host}`);
    if (!found) asked.push(path);
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    return response.end(JSON.stringify(found ?? { error: 'not found' }));
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  // A step that failed before it closed its registry must not keep the process.
  server.unref();
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    asked,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a registry says of a package, undefined for one that it does not have. */
function packument(name, files, url) {
  const versions = {};
  for (const [file, { manifest, integrity }] of files) {
    if (manifest.name !== name) continue;
    const dist = { tarball: `${url}/${name}/-/${file}`, integrity };
    versions[manifest.version] = { ...manifest, _id: `${name}@${manifest.version}`, dist };
  }
  const latest = Object.keys(versions).at(-1);
  return latest && { name, 'dist-tags': { latest }, versions };
}

function packed(path) {
  const bytes = readFileSync(path);
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  return { bytes, integrity, manifest: manifestIn(path) };
}
