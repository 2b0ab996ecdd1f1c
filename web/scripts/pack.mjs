/** Builds the packages and packs them into `target/packages`, or the folder that is named: what would be published. */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildPackages, pack, root } from "./packages.mjs";

const outDir = resolve(process.argv[2] ?? join(root, "../target/packages"));
await mkdir(outDir, { recursive: true });
await buildPackages();
for (const { archive, files } of pack(outDir)) console.log(`${archive}: ${files.length} files`);
