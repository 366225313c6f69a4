/** @type {import('next').NextConfig} */
export default {
  // The addon is loaded by Node.js, not bundled.
  serverExternalPackages: ['@sage/chronicle'],
  // A folder that has all that the server needs, the addon too, and nothing else.
  output: 'standalone',
};
