/** Builds the packages into their dist/, and the demo page into the folder that the binary embeds. */
import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { bundle, PACKAGES, root } from "./packages.mjs";
import { buildDemo } from "./demo.mjs";

// What an earlier build named otherwise must not be packed.
for (const name of ["client", "react", "inbox"]) await rm(join(root, name, "dist"), { recursive: true, force: true });
for (const [name, options] of Object.entries(PACKAGES)) await bundle(options, join(root, name.split("/")[0], "dist"));
for (const name of ["client", "react", "inbox"]) {
  const flags = ["--ignoreConfig", "--declaration", "--emitDeclarationOnly", "--rewriteRelativeImportExtensions", "--skipLibCheck"];
  const options = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--customConditions", "watchbell-source", "--lib", "es2023,dom,dom.iterable"];
  execFileSync("npx", ["tsc", ...flags, ...options, "--rootDir", `${name}/src`, "--outDir", `${name}/dist`, ...Object.values(PACKAGES[name].entry)], { cwd: root, stdio: "inherit" });
}
for (const file of await buildDemo()) console.log(file);
