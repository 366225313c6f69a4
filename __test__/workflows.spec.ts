// The workflows for GitHub Actions, as far as they can be read without it.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

interface Job {
  needs?: string | string[];
  steps: { run?: string; uses?: string; env?: Record<string, string> }[];
  strategy?: { matrix: Record<string, any[]> };
  permissions?: Record<string, string>;
  if?: string;
}

const workflows: [string, { on: any; permissions: object; jobs: Record<string, Job> }][] =
  readdirSync(`${root}.github/workflows`).map((name) => [
    name,
    parse(readFileSync(`${root}.github/workflows/${name}`, 'utf8')),
  ]);
const release = workflows.find(([name]) => name === 'release.yml')![1];

describe.each(workflows)('%s', (_name, workflow) => {
  const jobs = Object.entries(workflow.jobs);
  const commands = jobs.flatMap(([, { steps }]) => steps.flatMap(({ run }) => run ?? []));

  it('runs only scripts that are there', () => {
    const scripts = commands.flatMap((text) => text.match(/(?:scripts|__test__)\/[\w./-]+/g) ?? []);
    expect(scripts.length).toBeGreaterThan(0);
    expect(scripts.filter((path) => !existsSync(root + path))).toEqual([]);
    const named = commands.flatMap((text) => [...text.matchAll(/npm run (\S+)/g)]);
    expect(named.map(([, name]) => name).filter((name) => !manifest.scripts[name!])).toEqual([]);
  });

  it('names only suites that there are', async () => {
    const { chosen } = await import('../scripts/test/suites.mjs' as string);
    const names = commands.flatMap((text) => /npm test -- (.+)/.exec(text)?.[1]?.split(' ') ?? []);
    expect(chosen(names).unknown).toEqual([]);
  });

  it('has jobs that wait only for jobs that there are', () => {
    const waited = jobs.flatMap(([, { needs }]) => needs ?? []);
    expect(waited.filter((name) => !(name in workflow.jobs))).toEqual([]);
  });

  it('uses no value that its matrix does not have', () => {
    for (const [name, job] of jobs) {
      const { include = [], exclude: _, ...axes } = job.strategy?.matrix ?? {};
      const known = new Set([...Object.keys(axes), ...include.flatMap(Object.keys)]);
      const used = [...JSON.stringify(job).matchAll(/\bmatrix\.(\w+)/g)].map(([, key]) => key!);
      expect(
        used.filter((key) => !known.has(key)),
        name,
      ).toEqual([]);
    }
  });

  it('may only read, but for the job that publishes', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
    const more = jobs.filter(([, { permissions }]) => permissions);
    for (const [name, job] of more) {
      expect(name).toBe('publish');
      expect(job.permissions).toEqual({ contents: 'read', 'id-token': 'write' });
    }
  });

  it('puts nothing that strangers write into a command', () => {
    const given = commands.flatMap((text) => [...text.matchAll(/\$\{\{\s*([\w.]+)/g)]);
    expect(given.map(([, name]) => name).filter((name) => !name!.startsWith('matrix.'))).toEqual(
      [],
    );
  });
});

describe('the release', () => {
  it('builds every platform of the package', () => {
    const targets = release.jobs.build!.strategy!.matrix.include!.map(({ target }) => target);
    expect(targets).toEqual(manifest.napi.targets);
  });

  it('tries every platform of the package before it publishes', async () => {
    const { targets } = await import('../scripts/release/targets.mjs' as string);
    const tried = ['try', 'try-musl'].flatMap((job) =>
      release.jobs[job]!.strategy!.matrix.platform!.map(({ name }) => name),
    );
    expect(tried.sort()).toEqual(
      targets()
        .map(({ name }: { name: string }) => name)
        .sort(),
    );
    expect(release.jobs.publish!.needs).toEqual(['try', 'try-musl']);
  });

  it('publishes for a tag only, and only by the script that checks', () => {
    expect(release.jobs.publish!.if).toBe("startsWith(github.ref, 'refs/tags/v')");
    const publishing = Object.entries(release.jobs).filter(([, job]) =>
      job.steps.some(({ run }) => /publish/.test(run ?? '')),
    );
    expect(publishing.map(([name]) => name)).toEqual(['publish']);
    expect(JSON.stringify(release.jobs.publish)).toContain('scripts/release/release.mjs');
  });
});
