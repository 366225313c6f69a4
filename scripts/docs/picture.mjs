// Makes the picture of README.md from a real run: two agents append to one log, one of them is
// killed, and the log is verified. The lines of the picture are what the programs printed.
//
// Usage: node scripts/docs/picture.mjs [--out FOLDER]   (default: docs/)
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from '../test/setup.mjs';
import { terminalSvg } from './terminal-svg.mjs';

const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'docs') } } });
const folder = mkdtempSync(join(tmpdir(), 'chronicle-picture-'));
const agentProgram = join(root, 'scripts/docs/agent.mjs');
const command = join(root, 'bin/chronicle.js');

const columns = 92;
const lines = [];
let clock = 0;
const BOLD = '\x1b[1m';
const DIM = '\x1b[2m';
const RED = '\x1b[31m';
const PLAIN = '\x1b[0m';

/** Adds a line that appears that many seconds after the one before. */
function show(text, pause = 0.15) {
  clock += pause;
  lines.push({ text, at: clock });
}

const prompt = (text) => show(`${DIM}$${PLAIN} ${BOLD}${text}${PLAIN}`, 0.9);

/** Starts an agent. Its lines are shown as they come, and passed to `seen`. */
function startAgent(name, seen = () => {}) {
  const child = spawn(process.execPath, [agentProgram, name, 'agent.sage'], { cwd: folder });
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop();
    for (const line of parts) {
      show(line);
      seen(line, child);
    }
  });
  return once(child, 'close');
}

/** Runs a line of a shell on a terminal, where `chronicle` is the command, and shows its output. */
async function shell(line) {
  prompt(line);
  const commandLine = `stty cols ${columns}; chronicle() { "$NODE" "$BIN" "$@"; }; ${line}`;
  const env = { ...process.env, NODE: process.execPath, BIN: command, TERM: 'xterm' };
  delete env.NO_COLOR;
  const child = spawn('script', ['-qec', commandLine, '/dev/null'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${line} ended with ${code}: ${output}`);
  // A progress bar is written over, and ends with an erased line.
  const printed = output.replace(/^.*\r(?!\n)/gm, '').replace(/\x1b\[\d*K/g, '');
  for (const text of printed.trimEnd().split(/\r?\n/)) show(text, 0.25);
}

try {
  prompt('node agent.mjs coder agent.sage & node agent.mjs reviewer agent.sage &');
  const coder = startAgent('coder', (line, child) => {
    if (!line.includes(' 100 steps')) return;
    child.kill('SIGKILL');
    prompt('kill -9 %1');
    show(`${RED}[1]  Killed${PLAIN}  node agent.mjs coder agent.sage`, 0.3);
  });
  const ends = await Promise.all([coder, startAgent('reviewer')]);
  if (ends[0][1] !== 'SIGKILL' || ends[1][0] !== 0) throw new Error(JSON.stringify(ends));
  await shell('chronicle verify agent.sage | tail -n 1');
  prompt('node agent.mjs coder agent.sage   # the same again: nothing is lost, nothing doubled');
  await startAgent('coder');
  await shell('chronicle tail -n 3 agent.sage');
  await shell('chronicle verify agent.sage | tail -n 1');

  const title =
    'Two agents append to one log. One is killed by SIGKILL, and runs again. The log verifies.';
  for (const theme of ['light', 'dark']) {
    writeFileSync(
      join(values.out, `session-${theme}.svg`),
      terminalSvg(lines, { theme, title, columns }),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
