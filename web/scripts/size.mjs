/** The promise about weight, minified and gzipped. The client is what every page loads: `index.js` and what it imports;
 * `seen` and the HTTP transports come apart, when they are asked for. */
import { gzipSync } from "node:zlib";
import { bundle, PACKAGES } from "./packages.mjs";

const BYTES_MAX = {
  client: 8 * 1024, "client/list": 1792, inbox: 16 * 1024, "inbox/push-worker": 2 * 1024, react: 1024, vue: 1024, svelte: 768,
};

let isTooBig = false;
for (const [name, max] of Object.entries(BYTES_MAX)) {
  const sizes = new Map();
  const files = new Map();
  for (const file of await bundle(PACKAGES[name], { minify: true })) {
    files.set(file.fileName, file);
    sizes.set(file.fileName, gzipSync(file.code ?? file.source, { level: 9 }).length);
  }
  const needed = (fileName) => [fileName, ...(files.get(fileName)?.imports ?? []).filter((one) => files.has(one)).flatMap(needed)];
  const entry = [...files.keys()][0];
  const first = files.has("index.js") ? "index.js" : entry;
  const bytes = [...new Set(needed(first))].reduce((sum, one) => sum + sizes.get(one), 0);
  const later = [...sizes.values()].reduce((sum, one) => sum + one, 0) - bytes;
  console.log(`${name}: ${bytes} bytes, at most ${max}${later ? `; ${later} more when asked for` : ""}`);
  isTooBig ||= bytes > max;
}
if (isTooBig) process.exit(1);
