// The sources of the recording: the commits of a repository and the files of its installed
// dependencies. Both return the same events at every call (a commit's own date, a file's
// modification time), so that a second recording appends nothing.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

const unit = '\x1f';
const record = '\x1e';

function git(root, args) {
  return execFileSync('git', ['-C', root, ...args], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/**
 * The newest `limit` commits, oldest first, as { commits, missing }. `missing` is the reason if
 * there are none.
 */
export function listCommits(root, limit) {
  const none = (missing) => ({ commits: [], missing });
  try {
    // A clone unpacked inside another repository must not pass that one's history off as its own.
    if (git(root, ['rev-parse', '--show-cdup']).trim() !== '') return none('no repository here');
    if (git(root, ['rev-list', '-n', '1', '--all']).trim() === '') return none('no commits yet');
    const format = `--format=${['%H', '%cI', '%an', '%ae', '%s'].join('%x1f')}%x1e`;
    const text = git(root, ['log', '--reverse', `--max-count=${limit}`, format, 'HEAD']);
    const commits = text.split(record).slice(0, -1);
    return {
      commits: commits.map((entry) => {
        const [hash, date, author, email, subject] = entry.trimStart().split(unit);
        return { hash, date, author, email, subject };
      }),
    };
  } catch (error) {
    if (error.code === 'ENOENT') return none('git not found');
    const said = String(error.stderr || error.message).trim();
    if (said.includes('not a git repository')) return none('no repository here');
    return none(`git failed: ${said.split('\n')[0]}`);
  }
}

/** The event of one commit. */
export function commitEvent({ hash, date, author, email, subject }) {
  return {
    type: 'COMMIT_RECORDED',
    timestamp: date,
    actor: { agent: 'git', id: email || author || 'unknown' },
    hash,
    author,
    subject,
  };
}

/** The regular files under node_modules as paths relative to `root`, sorted; at most `limit`. */
export async function listFiles(root, limit) {
  const files = [];
  const visit = async (path, isTop) => {
    for (const entry of await readdir(join(root, path), { withFileTypes: true })) {
      // Dot entries at the top are caches and links of tools, which change while this runs.
      if (isTop && entry.name.startsWith('.')) continue;
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory()) await visit(child, false);
      else if (entry.isFile()) files.push(child);
    }
  };
  await visit('node_modules', true);
  return files.sort().slice(0, limit);
}

/** The event of one file, from its bytes as they are now. */
export async function fileEvent(root, filePath) {
  const path = join(root, filePath);
  const [bytes, { mtimeMs }] = await Promise.all([readFile(path), stat(path)]);
  return {
    type: 'FILE_ADDED',
    timestamp: new Date(Math.floor(mtimeMs)).toISOString(),
    actor: { agent: 'npm', id: 'node_modules' },
    filePath,
    hash: createHash('sha256').update(bytes).digest('hex'),
    size: bytes.length,
  };
}

/** Calls `work` for every item, `width` at a time; rejects with the first failure. */
export async function inParallel(items, width, work) {
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const item = items[next];
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
}
