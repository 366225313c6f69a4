// Compiles main.ts under each way of resolving a package, strict and with the package's own types
// checked, and runs it.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';

function node(...args) {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}`);
}

// Neither the types of Node.js nor those of a browser are needed.
const strict = [
  ...[
    '--strict',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
    '--isolatedModules',
  ],
  ...['--skipLibCheck', 'false', '--target', 'es2022', '--lib', 'es2022'],
];

/** Each output has a folder of its own, whose package.json names the kind of modules. */
function compile({ compiler, resolution, module, type, file, output }) {
  const folder = `out/${compiler}-${resolution}-${type}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/package.json`, JSON.stringify({ type }));
  cpSync('use.cjs', `${folder}/use.cjs`);
  const options = ['--module', module, '--moduleResolution', resolution, '--outDir', folder];
  node(`node_modules/${compiler}/bin/tsc`, ...strict, ...options, file);
  node(`${folder}/${output}`);
}

const esm = { type: 'module', file: 'main.ts', output: 'main.js' };
const cjs = { type: 'commonjs', file: 'main.cts', output: 'main.cjs' };

compile({ ...esm, compiler: 'typescript', resolution: 'bundler', module: 'esnext' });
compile({ ...esm, compiler: 'typescript', resolution: 'node16', module: 'node16' });
compile({ ...cjs, compiler: 'typescript', resolution: 'node16', module: 'node16' });
compile({
  ...esm,
  compiler: 'typescript',
  resolution: 'node10',
  module: 'commonjs',
  type: 'commonjs',
});
compile({ ...esm, compiler: 'typescript7', resolution: 'bundler', module: 'esnext' });
compile({ ...esm, compiler: 'typescript7', resolution: 'nodenext', module: 'nodenext' });
