import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { chronicle, note, present, scratchFolder } from './scratch';

const scratch = scratchFolder();
const page = readFileSync(fileURLToPath(new URL('../docs/git.md', import.meta.url)), 'utf8');
/** The block of the page that has the contents of a file. */
const block = (name: string) => {
  const [, text = ''] = page.split(`\n\`${name}\`:\n`);
  return /```\w*\n([\s\S]*?)```/.exec(text)?.[1] ?? '';
};

function git(...args: string[]): { code: number | null; output: string } {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@test.invalid'];
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  const options = { cwd: scratch.folder(), env, encoding: 'utf8' as const };
  const { status, stdout, stderr } = spawnSync('git', [...identity, ...args], options);
  return { code: status, output: stdout + stderr };
}

function succeeds(...args: string[]): string {
  const { code, output } = git(...args);
  if (code !== 0) throw new Error(`git ${args.join(' ')}: ${output}`);
  return output;
}

function commit(message: string): void {
  succeeds('add', '--all');
  succeeds('commit', '--quiet', '--message', message);
}

/** A repository whose branches `one` and `two` each appended to the log of `main`. */
async function branches(attributes: string, options = {}): Promise<string> {
  const path = scratch.path('agent.sage');
  succeeds('init', '--quiet', '--initial-branch=main');
  writeFileSync(scratch.path('.gitattributes'), attributes);
  await chronicle.append(path, note('base'), options);
  commit('base');
  for (const branch of ['one', 'two']) {
    succeeds('checkout', '--quiet', '-b', branch, 'main');
    for (const n of [1, 2]) await chronicle.append(path, note(`${branch}:${n}`), options);
    commit(branch);
  }
  return path;
}

const marksOf = async (path: string) => {
  const events = await chronicle.readChronicle<{ mark: string }>(path, { onBadLine: () => {} });
  return events.map(({ mark }) => mark);
};
const kindsOf = async (path: string) =>
  (await chronicle.verifyChronicle(path)).findings.map(({ kind }) => kind);
const all = ['base', 'one:1', 'one:2', 'two:1', 'two:2'];

describe.skipIf(!present('git', 'git'))('logs in a Git repository', () => {
  it('are merged line by line with the attribute of the page, and verify', async () => {
    const path = await branches(block('.gitattributes'));
    succeeds('merge', '--quiet', '--no-edit', 'one');
    expect((await marksOf(path)).sort()).toEqual(all);
    expect(await kindsOf(path)).toEqual([]);
    expect((await chronicle.append(path, note('one:1'))).duplicate).toBe(true);
  });

  it('conflict without the attribute: the markers are bad lines, and no record is lost', async () => {
    const path = await branches('');
    expect(git('merge', '--no-edit', 'one').code).toBe(1);
    expect((await marksOf(path)).sort()).toEqual(all);
    expect(await kindsOf(path)).toEqual(['malformed', 'malformed', 'malformed']);
    await chronicle.repairChronicle(path);
    expect(await kindsOf(path)).toEqual([]);
    expect((await marksOf(path)).sort()).toEqual(all);
  });

  it('show the fork of a chain that both branches continued', async () => {
    const path = await branches(block('.gitattributes'), { chain: true });
    succeeds('merge', '--quiet', '--no-edit', 'one');
    const { ok, findings } = await chronicle.verifyChronicle(path);
    expect([ok, findings.map(({ kind }) => kind)]).toEqual([false, ['fork']]);
    expect((await chronicle.validateCausalChain(path)).isValid).toBe(false);
  });

  it('keep the bytes of a record under the conversion of line ends', async () => {
    const path = await branches(block('.gitattributes'));
    const before = readFileSync(path);
    succeeds('config', 'core.autocrlf', 'true');
    succeeds('checkout', '--quiet', 'main');
    succeeds('checkout', '--quiet', 'two');
    expect(readFileSync(path)).toEqual(before);
  });

  it('leave their side files and backups out by the lines of the page', async () => {
    const path = await branches(block('.gitattributes'));
    writeFileSync(scratch.path('.gitignore'), block('.gitignore'));
    commit('ignore');
    await (await chronicle.lockChronicles([path])).release();
    appendFileSync(path, 'garbage\n');
    const { backupPath, removedPath } = await chronicle.repairChronicle(path);
    writeFileSync(join(scratch.folder(), '.agent.sage.chronicle-index'), '');
    expect([backupPath, removedPath]).toEqual([expect.any(String), expect.any(String)]);
    expect(succeeds('status', '--porcelain')).toBe('');
    expect(succeeds('status', '--porcelain', '--ignored').split('\n').length).toBeGreaterThan(4);
  });
});
