// Runs `next build`, then the server on a free port: by `next start`, and by the standalone folder,
// moved away from other node_modules. Sends a request to the route handler and one to the page.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const next = 'node_modules/next/dist/bin/next';
const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', HOSTNAME: 'localhost', PORT: '0' };

/** Runs a server until it has answered. */
async function serve(...args) {
  const server = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(server, 'exit');
  const address = new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      console.log(line);
      const found = /http:\/\/localhost:\d+/.exec(line);
      if (found) resolve(found[0]);
    });
    ended.then(([code]) => reject(new Error(`${args.join(' ')} ended with ${code}`)));
  });
  try {
    const base = await address;
    const done = await answer(`${base}/api/log`, { method: 'POST' });
    if (done !== '{"done":true}') throw new Error(`the route answered ${done}`);
    const page = await answer(base);
    if (!page.includes('records: 0')) throw new Error(`the page is ${page}`);
  } finally {
    server.kill();
    await ended;
  }
}

async function answer(url, options) {
  const response = await fetch(url, options);
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return text;
}

const build = spawnSync(process.execPath, [next, 'build'], { env, stdio: 'inherit' });
if (build.status !== 0) throw new Error(`next build ended with ${build.status}`);
await serve(next, 'start');

const folder = mkdtempSync(join(tmpdir(), 'chronicle-standalone-'));
try {
  renameSync('.next/standalone', join(folder, 'app'));
  await serve(join(folder, 'app', 'server.js'));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
