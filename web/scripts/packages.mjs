/** How each package is bundled: one place, used by the build, the size check, the freshness check and what is packed. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** The folders that are published, each a package of the name `@watchbell/FOLDER`. */
export const PUBLISHED = ["client", "inbox", "react", "vue", "svelte"];

/** `directive`: the first line of the built file, which frameworks read. */
export const PACKAGES = {
  client: { entry: { index: "client/src/index.ts", seen: "client/src/seen.ts" }, external: [] },
  // Apart from the client, so that a page without it carries nothing of it.
  "client/list": { entry: { list: "client/src/list.ts" }, external: [] },
  react: { entry: { index: "react/src/index.ts" }, external: ["react", /^@watchbell\/client/], directive: '"use client";' },
  vue: { entry: { index: "vue/src/index.ts" }, external: ["vue", /^@watchbell\/client/] },
  svelte: { entry: { index: "svelte/src/index.ts" }, external: [/^@watchbell\/client/] },
  inbox: { entry: { index: "inbox/src/index.ts" }, external: [/^@watchbell\/client/] },
  // A service worker is one file that imports nothing.
  "inbox/push-worker": { entry: { "push-worker": "inbox/src/push-worker.ts" }, external: [] },
};

/** For a `<script>` tag: the element and the client in one file, which sets the global `watchbell`. Minified: no bundler comes after it. */
const SCRIPT = { name: "watchbell", entry: { watchbell: "inbox/src/script.ts" }, external: [], format: "iife" };

/** Where the page of the inbox's package shows the hash of that file. */
const SCRIPT_README = join(root, "inbox/README.md");
const INTEGRITY = /integrity="sha384-[^"]*"/;

/**
 * Bundles a package; answers its files, and writes them when `outDir` is given. What is published is not minified, so that
 * it can be read and debugged; `minify` is for what is measured.
 */
export async function bundle({ entry, external, directive, format = "es", name }, { outDir, minify = false } = {}) {
  const result = await build({
    root,
    configFile: false,
    logLevel: "warn",
    resolve: { conditions: ["watchbell-source"] },
    build: {
      lib: { entry, formats: [format], name, fileName: (_, entryName) => `${entryName}.js` },
      outDir: outDir ?? "dist",
      write: outDir !== undefined,
      emptyOutDir: false,
      minify,
      sourcemap: !minify && format === "es",
      target: "es2022",
      // What was known to be pure is gone already: its marks would only weigh.
      // A number with a name is the number, also where the name is exported.
      rolldownOptions: {
        preserveEntrySignatures: "allow-extension",
        external,
        ...(minify ? { optimization: { inlineConst: { mode: "all", pass: 2 } } } : {}),
        output: {
          minify, ...(minify ? { comments: false } : { banner: directive ?? "" }),
          ...(format === "iife" ? { codeSplitting: false } : {}),
        },
      },
    },
  });
  return [result].flat().flatMap(({ output }) => output);
}

/** The file for a `<script>` tag, and what its `integrity` has to be. */
export async function bundleScript(outDir) {
  const [{ code }] = await bundle(SCRIPT, { outDir, minify: true });
  return { code, integrity: `sha384-${createHash("sha384").update(code).digest("base64")}` };
}

/** The hash that the README's snippet shows. */
export async function shownIntegrity() {
  return INTEGRITY.exec(await readFile(SCRIPT_README, "utf8"))?.[0].slice('integrity="'.length, -1);
}

/** Shows this hash in the README's snippet. */
export async function showIntegrity(integrity) {
  const text = await readFile(SCRIPT_README, "utf8");
  await writeFile(SCRIPT_README, text.replace(INTEGRITY, `integrity="${integrity}"`));
}

/** Builds the `dist` of every package: modules with source maps, types, and the file for a `<script>` tag, whose hash it answers. */
export async function buildPackages() {
  // What an earlier build named otherwise must not be packed.
  for (const name of PUBLISHED) await rm(join(root, name, "dist"), { recursive: true, force: true });
  for (const [name, options] of Object.entries(PACKAGES)) await bundle(options, { outDir: join(root, name.split("/")[0], "dist") });
  const { integrity } = await bundleScript(join(root, "inbox/dist"));
  await declare();
  return integrity;
}

/** The types of all packages, which one run of the compiler writes. It leaves `./x.ts` in them, where there is no such file. */
async function declare() {
  const outDir = await mkdtemp(join(tmpdir(), "watchbell-types-"));
  const entries = Object.values(PACKAGES).flatMap(({ entry }) => Object.values(entry));
  const flags = ["--ignoreConfig", "--declaration", "--emitDeclarationOnly", "--skipLibCheck", "--strict", "--allowImportingTsExtensions", "--types", "node"];
  const options = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--customConditions", "watchbell-source", "--lib", "es2023,dom,dom.iterable"];
  try {
    execFileSync("npx", ["tsc", ...flags, ...options, "--rootDir", ".", "--outDir", outDir, ...entries], { cwd: root, stdio: "inherit" });
    for (const name of PUBLISHED) {
      for (const file of await readdir(join(outDir, name, "src"), { recursive: true })) {
        if (!file.endsWith(".d.ts")) continue;
        const text = await readFile(join(outDir, name, "src", file), "utf8");
        await mkdir(dirname(join(root, name, "dist", file)), { recursive: true });
        await writeFile(join(root, name, "dist", file), text.replace(/(from |import\()"(\.[^"]*)\.ts"/g, '$1"$2.js"'));
      }
    }
  } finally {
    await rm(outDir, { recursive: true });
  }
}

/** Packs what was built into `outDir`, as it would be published; answers the files of each package. */
export function pack(outDir) {
  const flags = PUBLISHED.flatMap((name) => ["--workspace", name]);
  const told = execFileSync("npm", ["pack", "--json", "--pack-destination", outDir, ...flags], { cwd: root, encoding: "utf8" });
  return JSON.parse(told).map(({ name, filename, files }) => ({ name, archive: join(outDir, filename), files: files.map(({ path }) => path) }));
}
