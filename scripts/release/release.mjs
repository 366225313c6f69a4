// node scripts/release/release.mjs [options]: stages the package and the package of each platform
// in a folder of their own, packs them, and publishes them if asked to. It never changes the clone.
//
//   --artifacts DIR    folder of chronicle.<platform>.node, at any depth
//                      (default: the clone itself, without its folders).
//   --out DIR          folder of the tarballs and the staged folders (default: .setup/release).
//   --only NAME,...    these platforms only, such as linux-x64-gnu
//                      (default: all of package.json's napi.targets).
//   --rehearsal        accepts addons for a newer glibc than a release may; publishes nothing.
//   --repository URL   of the sources, as the registry compares it with the provenance.
//   --publish          publishes, the platforms first; with --dry-run npm only says what it would.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { glibcFloor, unfit } from './binaries.mjs';
import { mainManifest, packageOf, platformManifest, platformReadme } from './manifests.mjs';
import { root, setupFolder } from '../test/setup.mjs';
import { manifestIn } from './tarball.mjs';
import { addonOf, targets } from './targets.mjs';

const windows = process.platform === 'win32';

export class ReleaseError extends Error {}

/**
 * Stages and packs, and returns the paths of the tarballs in the order in which they may be
 * published.
 *
 * @param {{ artifacts?: string, out: string, only?: string[], rehearsal?: boolean, repository?:
 *   string }} options
 */
export function pack({ artifacts, out, only, rehearsal = false, repository }) {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const chosen = chosenTargets(only);
  const faults = [
    ...versionFaults(manifest),
    ...addonFaults(chosen, artifacts, rehearsal ? null : glibcFloor),
  ];
  if (faults.length > 0) throw new ReleaseError(faults.join('\n'));

  clear(out);
  const folders = chosen.map((target) => {
    const folder = join(out, 'npm', target.name);
    stage(folder, platformManifest(manifest, target, repository), ['LICENSE']);
    writeFileSync(join(folder, 'README.md'), platformReadme(manifest, target));
    copyFileSync(find(artifacts, addonOf(target)), join(folder, addonOf(target)));
    return folder;
  });
  const main = join(out, 'npm', 'main');
  const published = mainManifest(manifest, chosen, repository);
  stage(main, published, [...published.files, 'README.md', 'LICENSE']);
  npm(['pack', '--silent', '--pack-destination', out, ...folders, main], root);
  return [...chosen.map((target) => packageOf(manifest, target)), manifest.name].map((name) =>
    join(out, `${name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`),
  );
}

function chosenTargets(only) {
  const all = targets();
  if (!only) return all;
  const unknown = only.filter((name) => !all.some((target) => target.name === name));
  if (unknown.length > 0) {
    const names = all.map(({ name }) => name).join(', ');
    throw new ReleaseError(`no such platform: ${unknown.join(', ')}; there are ${names}`);
  }
  return all.filter(({ name }) => only.includes(name));
}

/** Every place that has the version must have the same one, and the changelog must speak of it. */
function versionFaults({ version }) {
  const text = (name) => readFileSync(join(root, name), 'utf8');
  const tag = /^refs\/tags\/(.+)$/.exec(process.env.GITHUB_REF ?? '')?.[1];
  return [
    ['Cargo.toml has another version', text('Cargo.toml').includes(`\nversion = "${version}"\n`)],
    ['binding.js was generated for another version', text('binding.js').includes(`'${version}'`)],
    ['CHANGELOG.md says nothing of the version', text('CHANGELOG.md').includes(`\n## ${version}`)],
    [`the tag is ${tag}`, tag === undefined || tag === `v${version}`],
  ]
    .filter(([, good]) => !good)
    .map(([fault]) => `version ${version}: ${fault}`);
}

function addonFaults(chosen, artifacts, floor) {
  return chosen.flatMap((target) => {
    const path = find(artifacts, addonOf(target));
    if (!path) return [`${addonOf(target)} is missing`];
    const reason = unfit(readFileSync(path), target, floor);
    return reason ? [`${path} ${reason}`] : [];
  });
}

/** The one file of a name below the folder; the clone's own has no others below it that count. */
function find(artifacts, name) {
  const folder = artifacts ?? root;
  const entry = readdirSync(folder, { recursive: artifacts !== undefined }).find(
    (path) => basename(path) === name,
  );
  return entry && join(folder, entry);
}

/** Removes what an earlier run left, and nothing else. */
function clear(out) {
  mkdirSync(out, { recursive: true });
  for (const name of readdirSync(out)) {
    if (name === 'npm' || name.endsWith('.tgz')) rmSync(join(out, name), { recursive: true });
  }
}

function stage(folder, manifest, names) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const name of names) cpSync(join(root, name), join(folder, name), { recursive: true });
}

/**
 * Publishes tarballs in order. The main package comes last, so that its platforms exist when it is
 * installed. A tarball that the registry has already is left out, so an interrupted run can be
 * repeated.
 */
export function publish(tarballs, { dryRun }) {
  for (const tarball of tarballs) {
    const { name, version } = manifestIn(tarball);
    if (!dryRun && isPublished(`${name}@${version}`)) {
      console.log(`${name}@${version} is published already`);
      continue;
    }
    const tag = version.includes('-') ? 'next' : 'latest';
    const how = dryRun ? ['--dry-run'] : ['--provenance'];
    console.log(`${dryRun ? 'would publish' : 'publishing'} ${name}@${version}`);
    npm(['publish', tarball, '--access', 'public', '--tag', tag, ...how], root);
  }
}

function isPublished(spec) {
  const child = spawnSync('npm', ['view', spec, 'version'], { encoding: 'utf8', shell: windows });
  if (child.status === 0) return child.stdout.trim() !== '';
  if (/E404/.test(child.stderr)) return false;
  throw new ReleaseError(`npm view ${spec} failed\n${child.stderr}`);
}

function npm(args, cwd) {
  const child = spawnSync('npm', args, { cwd, encoding: 'utf8', shell: windows });
  if (child.error) throw child.error;
  if (child.status !== 0) {
    throw new ReleaseError(`npm ${args.join(' ')} ended with ${child.status}\n${child.stderr}`);
  }
  return child.stdout;
}

function main() {
  const { values } = parseArgs({
    options: {
      artifacts: { type: 'string' },
      out: { type: 'string', default: join(setupFolder, 'release') },
      only: { type: 'string' },
      rehearsal: { type: 'boolean', default: false },
      repository: { type: 'string' },
      publish: { type: 'boolean', default: false },
      'dry-run': { type: 'boolean', default: false },
    },
  });
  const { rehearsal, repository } = values;
  const dryRun = values['dry-run'];
  if (values.publish && !dryRun && (rehearsal || !repository)) {
    throw new ReleaseError('--publish takes no --rehearsal, and needs --repository');
  }
  const tarballs = pack({
    artifacts: values.artifacts && resolve(values.artifacts),
    out: resolve(values.out),
    only: values.only?.split(','),
    rehearsal,
    repository,
  });
  for (const tarball of tarballs) console.log(tarball);
  if (values.publish) publish(tarballs, { dryRun });
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    if (!(error instanceof ReleaseError) && !error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    console.error(`release: ${error.message}`);
    process.exitCode = 1;
  }
}
