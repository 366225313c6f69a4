/** @type {import('next').NextConfig} */
export default {
  // The addon is loaded by Node.js, not bundled.
  serverExternalPackages: ['@sage/chronicle'],
};
