/** How each package is bundled: one place, used by the build, the size check and the freshness check. */
import { fileURLToPath } from "node:url";
import { build } from "vite";

export const root = fileURLToPath(new URL("..", import.meta.url));

export const PACKAGES = {
  client: { entry: { index: "client/src/index.ts", seen: "client/src/seen.ts" }, external: [] },
  react: { entry: { index: "react/src/index.ts" }, external: ["react", /^@watchbell\/client/] },
  inbox: { entry: { index: "inbox/src/index.ts" }, external: [/^@watchbell\/client/] },
  // A service worker is one file that imports nothing.
  "inbox/push-worker": { entry: { "push-worker": "inbox/src/push-worker.ts" }, external: [] },
};

/** Bundles a package; answers its files, and writes them when `outDir` is given. */
export async function bundle({ entry, external }, outDir) {
  const result = await build({
    root,
    configFile: false,
    logLevel: "warn",
    resolve: { conditions: ["watchbell-source"] },
    build: {
      lib: { entry, formats: ["es"] },
      outDir: outDir ?? "dist",
      write: outDir !== undefined,
      emptyOutDir: false,
      minify: true,
      target: "es2022",
      // What was known to be pure is gone already: its marks would only weigh.
      // A number with a name is the number, also where the name is exported.
      rolldownOptions: { preserveEntrySignatures: "allow-extension", external, optimization: { inlineConst: { mode: "all", pass: 2 } }, output: { minify: true, comments: false } },
    },
  });
  return [result].flat().flatMap(({ output }) => output);
}
