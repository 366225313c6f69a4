// Loading the package where its addon cannot be had.
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { folder, thrown } from './support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { name: packageName } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** A copy of the package without its addon. */
function withoutAddon(): string {
  const copy = folder();
  for (const name of ['index.js', 'binding.js', 'lib', 'package.json']) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  return copy;
}

const load = (copy: string) => createRequire(join(copy, 'user.js'))('./index.js');

it('without the addon says for which platform, which package has it, and how to get it', () => {
  const error = thrown(() => load(withoutAddon()));
  expect(error).toBeInstanceOf(Error);
  expect(error.code).toBe('ERR_CHRONICLE_BINDING');
  expect(error.message).toContain(`${process.platform} ${process.arch}`);
  expect(error.message).toContain(`${packageName}-${process.platform}-${process.arch}`);
  for (const cure of ['--omit=optional', '11.3', 'supportedArchitectures', 'npm run setup']) {
    expect(error.message).toContain(cure);
  }
  expect(error.cause).toBeInstanceOf(Error);
});

it('with an addon that is none has what the system said among the causes', () => {
  const copy = withoutAddon();
  const { arch, platform } = process;
  for (const end of ['', '-gnu', '-musl', '-msvc', '-universal']) {
    writeFileSync(join(copy, `chronicle.${platform}-${arch}${end}.node`), 'no addon');
  }
  const error = thrown(() => load(copy));
  expect(error.code).toBe('ERR_CHRONICLE_BINDING');
  const causes: string[] = [];
  for (let { cause } = error; cause; cause = cause.cause) causes.push(cause.message);
  // What the loader has not found is among them, too.
  const found = causes.filter((text) => !text.startsWith('Cannot find'));
  expect(found.join()).toContain(`chronicle.${platform}-${arch}`);
});

it('the addon of a clone is taken, whatever version of a package with another one lies around', () => {
  const copy = withoutAddon();
  const { arch, platform } = process;
  for (const end of ['', '-gnu', '-musl', '-msvc']) {
    const other = join(copy, 'node_modules', `${packageName}-${platform}-${arch}${end}`);
    mkdirSync(other, { recursive: true });
    writeFileSync(join(other, 'package.json'), '{"version":"9.9.9"}');
  }
  expect(thrown(() => load(copy)).code).toBe('ERR_CHRONICLE_VERSION');
  const addons = readdirSync(root).filter((name) => name.endsWith('.node'));
  for (const name of addons) cpSync(join(root, name), join(copy, name));
  expect(Object.keys(load(copy))).toContain('append');
});
