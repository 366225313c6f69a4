// What stands in the package.json of a release: of the package itself, and of the package of each
// platform.
import { addonOf } from './targets.mjs';

/** The name of the package that has a platform's addon. */
export const packageOf = (manifest, { name }) => `${manifest.name}-${name}`;

/**
 * The manifest of the published main package: without the addon and without the parts that only a
 * clone needs. It has the exact version of the package of each platform; npm installs the one that
 * fits.
 */
export function mainManifest(manifest, targets, repository) {
  const { scripts: _, devDependencies: __, ...rest } = manifest;
  return {
    ...rest,
    ...published(manifest, repository),
    files: manifest.files.filter((entry) => !entry.endsWith('.node')),
    optionalDependencies: Object.fromEntries(
      targets.map((target) => [packageOf(manifest, target), manifest.version]),
    ),
  };
}

/** The package of one platform: the addon and nothing else. */
export function platformManifest(manifest, target, repository) {
  const { os, cpu, libc } = target;
  const { version, license, engines } = manifest;
  return {
    name: packageOf(manifest, target),
    version,
    description: `The addon of ${manifest.name} for ${title(target)}`,
    license,
    engines,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
    type: 'commonjs',
    main: addonOf(target),
    files: [addonOf(target)],
    ...published(manifest, repository),
  };
}

/** The page of a platform's package. */
export function platformReadme(manifest, target) {
  return `# ${packageOf(manifest, target)}

The addon of ${manifest.name} for ${title(target)}. It is installed along with
${manifest.name} of the same version and is of no use without it.
`;
}

/** "Linux on arm64 with musl", say. */
function title({ os, cpu, libc }) {
  const system = { linux: 'Linux', darwin: 'macOS', win32: 'Windows' }[os];
  return `${system} on ${cpu}${libc ? ` with ${libc}` : ''}`;
}

/** A registry takes a statement of provenance only for the repository that the package names. */
function published(manifest, repository) {
  return {
    ...(repository && { repository: { type: 'git', url: `git+${repository}.git` } }),
    publishConfig: manifest.publishConfig,
  };
}
