/** What would be published: each package holds exactly what it should, and is used from elsewhere as a stranger would use it. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PUBLISHED, buildPackages, bundleScript, pack, root } from "../packages.mjs";

interface Manifest {
  name: string;
  version: string;
  license: string;
  repository: { url: string; directory: string };
  publishConfig: object;
  exports: Record<string, string | Record<string, string>>;
  dependencies?: Record<string, string>;
}

const dir = mkdtempSync(join(tmpdir(), "watchbell-packages-"));
let integrity = "";
let packed: { name: string; archive: string; files: string[] }[] = [];
const installed = (name: string, ...path: string[]) => join(dir, "node_modules", name, ...path);
const manifest = (name: string) => JSON.parse(readFileSync(installed(name, "package.json"), "utf8")) as Manifest;

/** A folder of somebody else, with the packages unpacked into its node_modules and what they are peers of beside them. */
beforeAll(async () => {
  integrity = await buildPackages();
  packed = pack(dir);
  for (const { name, archive } of packed) {
    mkdirSync(installed(name), { recursive: true });
    execFileSync("tar", ["xzf", archive, "--strip-components=1", "-C", installed(name)]);
  }
  mkdirSync(installed("@types"));
  for (const peer of PEERS) symlinkSync(join(root, "node_modules", peer), installed(peer));
  writeFileSync(join(dir, "package.json"), '{ "type": "module" }');
}, 120_000);
afterAll(() => rmSync(dir, { recursive: true }));

const PEERS = ["react", "@types/react", "csstype", "vue", "@vue"];

/** Beside the modules of `src` and their declarations: files that each package has, and no other. */
const FILES: Record<string, string[]> = {
  client: ["dist/index.js", "dist/list.js", "dist/seen.js", "dist/http-wire-HASH.js"],
  inbox: ["dist/index.js", "dist/push-worker.js", "dist/watchbell.js"],
  react: ["dist/index.js"],
  vue: ["dist/index.js"],
  svelte: ["dist/index.js"],
};

test("every published package is packed", () => {
  expect(packed.map(({ name }) => name).sort()).toEqual(PUBLISHED.map((name) => `@watchbell/${name}`).sort());
  expect(Object.keys(FILES).sort()).toEqual([...PUBLISHED].sort());
});

describe.each(PUBLISHED)("%s", (short) => {
  const name = `@watchbell/${short}`;

  test("holds its sources, its modules with maps and types, its licence, its page, and nothing else", () => {
    const files = packed.find((one) => one.name === name)?.files ?? [];
    const built = files.filter((file) => file.startsWith("dist/")).map((file) => file.replace(/-[\w-]{8}\.js/, "-HASH.js"));
    const modules = built.filter((file) => file.endsWith(".js"));
    expect(modules.filter((file) => !FILES[short]?.includes(file) && !/^dist\/[\w-]+-HASH\.js$/.test(file))).toEqual([]);
    expect(FILES[short]?.filter((file) => !modules.includes(file))).toEqual([]);
    const declared = files.filter((file) => file.startsWith("src/")).map((file) => file.replace(/^src\/(.*)\.ts$/, "dist/$1.d.ts"));
    const expected = [...modules, ...modules.filter((file) => file !== "dist/watchbell.js").map((file) => `${file}.map`)];
    const types = built.filter((file) => file.endsWith(".d.ts"));
    expect(types.filter((file) => !declared.includes(file))).toEqual([]);
    expect(built.filter((file) => !types.includes(file)).sort()).toEqual(expected.sort());
    const rest = files.filter((file) => !/^(dist|src)\//.test(file));
    expect(rest.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(files.filter((file) => file.startsWith("src/") && !/\.tsx?$/.test(file))).toEqual([]);
  });

  test("says what a registry and its provenance need", () => {
    const { version, license, repository, publishConfig, dependencies } = manifest(name);
    expect(license).toBe("Apache-2.0");
    expect(readFileSync(installed(name, "LICENSE"), "utf8")).toBe(readFileSync(join(root, "../LICENSE"), "utf8"));
    expect(repository).toEqual({ type: "git", url: manifest("@watchbell/client").repository.url, directory: `web/${short}` });
    expect(publishConfig).toEqual({ access: "public", provenance: true });
    // They are released together, so they fit together.
    expect(version).toBe(manifest("@watchbell/client").version);
    expect(Object.entries(dependencies ?? {})).toEqual(short === "client" ? [] : [["@watchbell/client", version]]);
  });

  test("exports only what is in it, each module with its types", () => {
    const targets = Object.entries(manifest(name).exports).flatMap(([at, to]) => {
      if (typeof to === "string") return [to];
      expect(Object.keys(to), at).toEqual(["watchbell-source", "types", "default"]);
      return Object.values(to);
    });
    expect(targets.filter((target) => !existsSync(installed(name, target)))).toEqual([]);
  });

  test("is published as it is read: not minified, and each map has the source that it is of", () => {
    const files = packed.find((one) => one.name === name)?.files ?? [];
    for (const file of files.filter((file) => file.endsWith(".js.map"))) {
      const { sources, sourcesContent } = JSON.parse(readFileSync(installed(name, file), "utf8")) as { sources: string[]; sourcesContent: string[] };
      expect(sources.length, file).toBeGreaterThan(0);
      sources.forEach((source, at) => {
        const path = installed(name, "dist", source);
        if (existsSync(path)) expect(readFileSync(path, "utf8"), source).toBe(sourcesContent[at]);
      });
      const code = readFileSync(installed(name, file.replace(/\.map$/, "")), "utf8");
      expect(code.length / code.split("\n").length, file).toBeLessThan(120);
    }
  });

  test("has a page that begins with install and use, and whose links hold on a registry", () => {
    const page = readFileSync(installed(name, "README.md"), "utf8");
    const [install, usage] = [...page.matchAll(/```(\w+)\n([^]*?)```/g)];
    expect(install?.[2]).toContain(`npm install ${name}`);
    expect(usage?.[2]).toContain(name);
    expect(page.indexOf("```sh")).toBeLessThan(400);
    const links = [...page.matchAll(/\]\(([^)]+)\)/g)].map(([, to]) => to ?? "");
    expect(links.filter((to) => !/^(https:\/\/|#)/.test(to))).toEqual([]);
  });

  test("can be imported in Node, where there is no window", () => {
    const code = `import * as all from "${name}"; if (!Object.keys(all).length) throw new Error("it exports nothing")`;
    execFileSync(process.execPath, ["--input-type=module", "-e", code], { cwd: dir, stdio: "pipe" });
  });
});

test("what frameworks look for is the first line of the React hooks", () => {
  expect(readFileSync(installed("@watchbell/react", "dist/index.js"), "utf8").split("\n")[0]).toBe('"use client";');
});

test.each(["bundler", "node16"])("their types are found and hold with the module resolution %s", (moduleResolution) => {
  const module = moduleResolution === "node16" ? "node16" : "esnext";
  const compilerOptions = { module, moduleResolution, target: "es2022", lib: ["es2022", "dom", "dom.iterable"], strict: true, noEmit: true, skipLibCheck: true, types: [] };
  writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
  writeFileSync(join(dir, "use.ts"), USE);
  const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", dir], { encoding: "utf8" });
  expect(tsc.stdout + tsc.stderr).toBe("");
}, 60_000);

/** A type that is not found is `any`, and `any` is refused here. */
const USE = `
import { Watchbell, type Row } from "@watchbell/client";
import { listInbox } from "@watchbell/client/list";
import { watchSeen } from "@watchbell/client/seen";
import { type WatchbellInbox } from "@watchbell/inbox";
import { useAlerts, useInbox } from "@watchbell/react";
import { inbox } from "@watchbell/svelte";
import { useInbox as useVueInbox, useUnread } from "@watchbell/vue";

type Is<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const hold = <_T extends true>() => {};

const client = new Watchbell({ token: () => null });
hold<Is<typeof client.snapshot.alerts, readonly Row[]>>();
hold<Is<Row["alert"]["title"], string>>();
const list = listInbox(client, { state: "open", severity: ["critical"] });
hold<Is<typeof list.snapshot.hasMore, boolean>>();
hold<Is<ReturnType<typeof watchSeen>["close"], () => void>>();
const element = document.querySelector("watchbell-inbox");
hold<Is<typeof element, WatchbellInbox | null>>();
hold<Is<WatchbellInbox["client"], Watchbell | null>>();
hold<Is<ReturnType<typeof useAlerts>["alerts"], readonly Row[]>>();
hold<Is<ReturnType<typeof useInbox>["rows"], readonly Row[]>>();
hold<Is<ReturnType<typeof useVueInbox>["rows"]["value"], readonly Row[]>>();
hold<Is<ReturnType<typeof useUnread>["value"], number>>();
inbox(client, { q: "a" }).subscribe(({ rows }) => hold<Is<typeof rows, readonly Row[]>>());
`;

test("the file for a script tag is built the same each time, is one file, and its hash is that of its bytes", async () => {
  const again = await bundleScript();
  expect(again.integrity).toBe(integrity);
  expect(again.code).toBe(readFileSync(installed("@watchbell/inbox", "dist/watchbell.js"), "utf8"));
  expect(again.code).not.toMatch(/\bimport\s*[("{]/);
});
