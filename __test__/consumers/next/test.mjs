// `next build`, then `next start` on a free port, a request to the route handler and one to the page.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const next = 'node_modules/next/dist/bin/next';
const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };

const build = spawnSync(process.execPath, [next, 'build'], { env, stdio: 'inherit' });
if (build.status !== 0) throw new Error(`next build ended with ${build.status}`);

const server = spawn(process.execPath, [next, 'start', '--port', '0'], {
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
});
const ended = once(server, 'exit');

/** The address that the server tells; what else it prints is passed on. */
function address() {
  return new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      console.log(line);
      const found = /http:\/\/localhost:\d+/.exec(line);
      if (found) resolve(found[0]);
    });
    ended.then(([code]) => reject(new Error(`next start ended with ${code}`)));
  });
}

async function answer(url, options) {
  const response = await fetch(url, options);
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return text;
}

try {
  const base = await address();
  const done = await answer(`${base}/api/log`, { method: 'POST' });
  if (done !== '{"done":true}') throw new Error(`the route answered ${done}`);
  const page = await answer(base);
  if (!page.includes('records: 0')) throw new Error(`the page is ${page}`);
} finally {
  server.kill();
  await ended;
}
