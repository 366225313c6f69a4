// Runs one command with a time limit and keeps its whole output in a log file.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

const windows = process.platform === 'win32';
/** Children under way; each leads a process group of its own, so that its children end with it. */
const running = new Set();

function stop(child) {
  try {
    if (windows) child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const child of running) stop(child);
    process.exit(1);
  });
}

/**
 * Resolves with { code, signal, timedOut, output }. A command that cannot start has code null and
 * the reason in output.
 */
export function runCommand({ command, args, cwd, env, limitSeconds, log }) {
  mkdirSync(dirname(log), { recursive: true });
  const file = createWriteStream(log);
  const chunks = [];
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: !windows,
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      stop(child);
    }, limitSeconds * 1000);
    const keep = (chunk) => {
      chunks.push(chunk);
      file.write(chunk);
    };
    const settle = (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      file.end();
      resolve({ code, signal, timedOut, output: Buffer.concat(chunks).toString('utf8') });
    };
    running.add(child);
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', (error) => {
      keep(Buffer.from(`cannot run ${command}: ${error.message}\n`));
      settle(null, null);
    });
    child.once('close', settle);
  });
}
