// What a user gets: the tarball of `npm run tarball`, installed with scripts disabled into an empty
// project and used from ECMAScript modules, CommonJS and TypeScript under each way of resolving it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { finish, holds } from '../test/report.mjs';
import { root } from '../test/setup.mjs';

const folder = mkdtempSync(join(tmpdir(), 'chronicle-pack-'));
const project = join(folder, 'project');
const installed = join(project, 'node_modules', '@sage/chronicle');
const windows = process.platform === 'win32';
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

function run(command, args, cwd = project) {
  const shell = windows && command === 'npm';
  const child = spawnSync(command, args, { cwd, encoding: 'utf8', shell, timeout: 60_000 });
  if (child.error) throw child.error;
  assert.equal(child.status, 0, `${command} ${args.join(' ')}\n${child.stdout}\n${child.stderr}`);
  return child.stdout;
}

const write = (name, text) => writeFileSync(join(project, name), text);

/** The same use of the package, as the body of an async function. */
const use = (path) => `
  const event = { type: 'BUILD', timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'pack', id: 'test' }, status: 'success' };
  const first = await append(${JSON.stringify(path)}, event);
  const again = await append(${JSON.stringify(path)}, event);
  const events = await readChronicle(${JSON.stringify(path)});
  if (first.duplicate || !again.duplicate || events.length !== 1) throw new Error(JSON.stringify({ first, again, events }));
  if (!(await verifyEventId(events[0]))) throw new Error('the id does not verify');
  console.log(events[0].eventId);
`;
const names = 'append, readChronicle, verifyEventId';
const id = /^[0-9a-f]{64}\n$/;

/** Mistakes that the types must refuse, so that a check that sees no types at all is no success. */
const typed = (path) => `
import { append, isBuildEvent, readChronicle, type ChronicleEvent, type Receipt } from '@sage/chronicle';
import { toStampUnsafe } from '@sage/chronicle/testing';

async function main(): Promise<void> {
  const receipt: Receipt = await append('${path}', {
    type: 'BUILD', timestamp: '2026-01-02T03:04:05.000Z', actor: { agent: 'pack', id: 'types' }, status: 'success',
  });
  // @ts-expect-error an offset is a number
  const wrong: string = receipt.offset;
  // @ts-expect-error a BUILD event needs its status
  const incomplete = () => append('${path}', { type: 'BUILD', timestamp: 't', actor: { agent: 'a', id: 'b' } });
  const events: ChronicleEvent[] = await readChronicle('${path}');
  for (const event of events) if (isBuildEvent(event)) console.log(event.status, wrong, typeof incomplete, toStampUnsafe(events).pass);
}

void main();
`;
const printed = 'success 0 function false\n';

/** Compiles the program under one resolution and returns the folder of the output. */
function compile(resolution, module, file) {
  const out = `out-${resolution}`;
  const compilerOptions = {
    module,
    moduleResolution: resolution,
    target: 'es2022',
    lib: ['es2022', 'dom'],
    types: [],
    strict: true,
    skipLibCheck: false,
    outDir: out,
  };
  write(file, typed(`${file}.sage`));
  write('tsconfig.json', JSON.stringify({ compilerOptions, files: [file] }));
  run(process.execPath, [tsc, '--project', 'tsconfig.json']);
  return out;
}

try {
  mkdirSync(project);
  write('package.json', JSON.stringify({ name: 'empty', version: '1.0.0', private: true }));
  let tarball;

  await holds('npm pack refuses a clone without an addon, and says what to do', () => {
    const clone = join(folder, 'clone');
    mkdirSync(join(clone, 'scripts', 'release'), { recursive: true });
    for (const name of ['package.json', 'scripts/release/prepack.mjs']) {
      copyFileSync(join(root, name), join(clone, name));
    }
    const child = spawnSync('npm', ['pack', '--silent', '--pack-destination', folder], {
      cwd: clone,
      encoding: 'utf8',
      shell: windows,
      timeout: 60_000,
    });
    assert.notEqual(child.status, 0);
    assert.match(child.stderr, /chronicle\.\*\.node.*npm run setup/);
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.tgz')),
      [],
    );
  });
  await holds('a build without Rust leaves the addon as it is, says so, and does not fail', () => {
    const child = spawnSync(process.execPath, [join(root, 'scripts', 'test', 'build.mjs')], {
      encoding: 'utf8',
      env: { PATH: folder },
    });
    assert.equal(child.status, 0, child.stderr);
    assert.match(child.stdout, /^build: cargo not found.*chronicle\..+\.node is used as it is\n$/);
  });
  await holds('a tarball is written, without scripts and development tools', () => {
    run(process.execPath, [join(root, 'scripts', 'release', 'here.mjs'), folder], root);
    tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
    assert.ok(tarball);
  });
  await holds('npm installs it with scripts disabled and without a network', () => {
    run('npm', [
      'install',
      '--ignore-scripts',
      '--offline',
      '--no-audit',
      '--no-fund',
      join(folder, tarball),
    ]);
    assert.ok(existsSync(join(installed, 'package.json')));
  });
  await holds('it carries the addon, its types and its licence', () => {
    const files = readdirSync(installed);
    const wanted = [
      'index.js',
      'index.mjs',
      'index.d.ts',
      'index.d.mts',
      'testing.js',
      'testing.d.ts',
      'binding.js',
      'ARCHITECTURE.md',
      'LICENSE',
      'README.md',
    ];
    assert.deepEqual(
      wanted.filter((name) => !files.includes(name)),
      [],
    );
    assert.equal(files.filter((name) => name.endsWith('.node')).length, 1);
  });
  await holds('it carries neither sources of the addon nor tests', () => {
    const unwanted = [
      'src',
      'target',
      'tests',
      '__test__',
      'scripts',
      'fixtures',
      'Cargo.toml',
      '.ci',
      '.setup',
      '.sage',
    ];
    assert.deepEqual(
      unwanted.filter((name) => existsSync(join(installed, name))),
      [],
    );
  });
  await holds('each link and picture of its pages leads to a file of it', () => {
    const pages = readdirSync(installed, { recursive: true }).filter((name) => /\.md$/.test(name));
    assert.ok(pages.length > 20);
    const target = /\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|srcset)="([^"]+)"/g;
    const dead = pages.flatMap((page) =>
      [...readFileSync(join(installed, page), 'utf8').matchAll(target)]
        .map(([, link, picture]) => link ?? picture)
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => !existsSync(join(installed, dirname(page), link)))
        .map((link) => `${page}: ${link}`),
    );
    assert.deepEqual(dead, []);
  });
  await holds('it runs no script on installation and needs no other package', () => {
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    const hooks = ['preinstall', 'install', 'postinstall', 'prepare'];
    assert.deepEqual(
      hooks.filter((name) => manifest.scripts?.[name]),
      [],
    );
    assert.deepEqual(Object.keys(manifest.dependencies ?? {}), []);
    // A workspace that has the unpacked tarball as a member would install and run these.
    assert.deepEqual([manifest.scripts, manifest.devDependencies], [undefined, undefined]);
    assert.ok(!existsSync(join(installed, 'binding.gyp')));
  });
  await holds('the command is installed, and appends', () => {
    const command = join(project, 'node_modules', '.bin', windows ? 'chronicle.cmd' : 'chronicle');
    const event = { type: 'BUILD', timestamp: 't', actor: { agent: 'pack', id: 'test' } };
    run(command, ['append', 'command.sage', JSON.stringify(event)]);
    assert.equal(run(command, ['count', 'command.sage']), '1\n');
  });
  await holds('an ECMAScript module appends, reads and verifies', () => {
    write('esm.mjs', `import { ${names} } from '@sage/chronicle';\n${use('esm.sage')}`);
    assert.match(run(process.execPath, ['esm.mjs']), id);
  });
  await holds('a CommonJS module appends, reads and verifies', () => {
    write(
      'cjs.cjs',
      `const { ${names} } = require('@sage/chronicle');\n(async () => {${use('cjs.sage')}})();`,
    );
    assert.match(run(process.execPath, ['cjs.cjs']), id);
  });
  await holds('import and require give the same functions', () => {
    write(
      'same.mjs',
      `import * as esm from '@sage/chronicle';
import { createRequire } from 'node:module';
const cjs = createRequire(import.meta.url)('@sage/chronicle');
const other = Object.keys(cjs).filter((name) => cjs[name] !== esm[name]);
if (other.length > 0 || Object.keys(cjs).length === 0) throw new Error('not the same: ' + other);
console.log('same');`,
    );
    assert.equal(run(process.execPath, ['same.mjs']), 'same\n');
  });
  await holds('the subpath testing gives both the same functions too', () => {
    write(
      'testing.mjs',
      `import * as esm from '@sage/chronicle/testing';
import { createRequire } from 'node:module';
const cjs = createRequire(import.meta.url)('@sage/chronicle/testing');
const other = Object.keys(cjs).filter((name) => cjs[name] !== esm[name]);
if (other.length > 0) throw new Error('not the same: ' + other);
const chronicle = esm.makeChronicle();
await chronicle.append('log.sage', { type: 'X' });
console.log((await chronicle.read('log.sage')).length);`,
    );
    assert.equal(run(process.execPath, ['testing.mjs']), '1\n');
  });
  await holds('TypeScript with bundler resolution sees the types', () => {
    compile('bundler', 'esnext', 'bundler.ts');
  });
  await holds('TypeScript with node10 resolution sees the types, and the program runs', () => {
    const out = compile('node10', 'commonjs', 'node10.ts');
    assert.equal(run(process.execPath, [join(out, 'node10.js')]), printed);
  });
  await holds(
    'TypeScript with node16 resolution sees the types of a CommonJS module, and it runs',
    () => {
      const out = compile('node16', 'node16', 'node16.cts');
      assert.equal(run(process.execPath, [join(out, 'node16.cjs')]), printed);
    },
  );
  await holds(
    'TypeScript with node16 resolution sees the types of an ECMAScript module, and it runs',
    () => {
      const out = compile('node16', 'node16', 'node16.mts');
      assert.equal(run(process.execPath, [join(out, 'node16.mjs')]), printed);
    },
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
finish();
