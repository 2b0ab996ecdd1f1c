/** The demo page, into the folder that the binary embeds. Names without hashes: the page is served with `no-store`. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";
import { root } from "./packages.mjs";

/** Relative to the repository. */
export const DEMO = "workers/fleet/src/demo";

/** Builds the page and its service worker into `outDir`; answers their files. */
export async function buildDemo(outDir = join(root, "..", DEMO)) {
  const page = await bundle(outDir, "demo.js", {});
  const worker = await bundle(outDir, "push-worker.js", { input: join(root, "demo/src/push-worker.ts") });
  return [...page, ...worker];
}

async function bundle(outDir, entryFileNames, options) {
  const { output } = await build({
    root: join(root, "demo"),
    base: "/demo/",
    configFile: false,
    logLevel: "warn",
    resolve: { conditions: ["watchbell-source"] },
    build: {
      outDir,
      emptyOutDir: false,
      target: "es2022",
      modulePreload: false,
      assetsInlineLimit: 0,
      rolldownOptions: {
        ...options,
        output: { entryFileNames, chunkFileNames: "[name].js", assetFileNames: "demo[extname]", codeSplitting: false },
      },
    },
  });
  return output.map(({ fileName }) => fileName);
}

export async function filesOf(dir, names) {
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name), "utf8").catch(() => null)])));
}
