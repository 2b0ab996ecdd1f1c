/**
 * Builds the packages into their dist/, and the pages into the folders that the binary embeds. The hash of the file for a
 * `<script>` tag is printed, and written into the README that shows it.
 */
import { buildConsole, buildDemo } from "./demo.mjs";
import { buildPackages, showIntegrity } from "./packages.mjs";

const integrity = await buildPackages();
await showIntegrity(integrity);
console.log(`inbox/dist/watchbell.js: ${integrity}`);
for (const file of [...(await buildDemo()), ...(await buildConsole())]) console.log(file);
