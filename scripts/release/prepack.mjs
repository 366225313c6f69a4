// Before `npm pack` and `npm publish`: a tarball without an addon would be of no use to anyone.
import { readdirSync } from 'node:fs';

// npm runs it in the folder of the package.
const addons = readdirSync('.').filter((name) => /^chronicle\..+\.node$/.test(name));
if (addons.length === 0) {
  console.error('prepack: no chronicle.*.node is here to be packed; build it with: npm run setup');
  process.exitCode = 1;
}
