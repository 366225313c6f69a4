import { build } from 'esbuild';

for (const [format, extension] of [
  ['esm', '.mjs'],
  ['cjs', '.cjs'],
]) {
  await build({
    entryPoints: ['main.js'],
    bundle: true,
    platform: 'node',
    format,
    outdir: 'dist',
    outExtension: { '.js': extension },
    external: ['@sage/chronicle'],
  });
}
