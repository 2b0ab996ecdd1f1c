/** The pages that the binary embeds, into its folders. Names without hashes: pages are served with `no-store`. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "vite";
import { root } from "./packages.mjs";

/** Where each page goes, relative to the repository. */
export const DEMO = "workers/fleet/src/demo";
export const CONSOLE = "workers/fleet/src/console/page";

/** Builds the demo page and its service worker into `outDir`; answers their files. */
export async function buildDemo(outDir = join(root, "..", DEMO)) {
  const page = await bundle("demo", outDir, "demo.js", {});
  const worker = await bundle("demo", outDir, "push-worker.js", { input: join(root, "demo/src/push-worker.ts") });
  return [...page, ...worker];
}

/** Builds the operators' console into `outDir`; answers its files. */
export const buildConsole = (outDir = join(root, "..", CONSOLE)) => bundle("console", outDir, "console.js", {});

/** Bundles what is in the folder `page`, to be served below `/page/`. */
async function bundle(page, outDir, entryFileNames, options) {
  const { output } = await build({
    root: join(root, page),
    base: `/${page}/`,
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
        output: { entryFileNames, chunkFileNames: "[name].js", assetFileNames: `${page}[extname]`, codeSplitting: false },
      },
    },
  });
  return output.map(({ fileName }) => fileName);
}

export async function filesOf(dir, names) {
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name), "utf8").catch(() => null)])));
}
