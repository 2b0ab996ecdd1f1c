/** Whether what is committed is what its sources build to: the pages, and the hash in the inbox's README. CI runs it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildConsole, buildDemo, CONSOLE, DEMO, filesOf } from "./demo.mjs";
import { bundleScript, root, shownIntegrity } from "./packages.mjs";

const PAGES = [["demo", DEMO, buildDemo], ["console", CONSOLE, buildConsole]];

const stale = [];
for (const [page, folder, buildPage] of PAGES) {
  const dir = await mkdtemp(join(tmpdir(), `watchbell-${page}-`));
  try {
    const names = await buildPage(dir);
    const [built, committed] = [await filesOf(dir, names), await filesOf(join(root, "..", folder), names)];
    const others = names.filter((name) => built.get(name) !== committed.get(name));
    stale.push(...others.map((name) => `${folder}/${name} is not what web/${page} builds to`));
    console.log(`${names.length - others.length} of ${names.length} files of ${folder} are fresh`);
  } finally {
    await rm(dir, { recursive: true });
  }
}
const { integrity } = await bundleScript();
if (integrity !== (await shownIntegrity())) stale.push("the integrity in web/inbox/README.md is not that of the file for a <script> tag");
for (const what of stale) console.error(`${what}: run \`npm run build\` and commit it`);
if (stale.length) process.exitCode = 1;
