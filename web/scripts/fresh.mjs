/** Whether what is committed is what its sources build to: the demo page, and the hash in the inbox's README. CI runs it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildDemo, DEMO, filesOf } from "./demo.mjs";
import { bundleScript, root, shownIntegrity } from "./packages.mjs";

const dir = await mkdtemp(join(tmpdir(), "watchbell-demo-"));
try {
  const names = await buildDemo(dir);
  const [built, committed] = [await filesOf(dir, names), await filesOf(join(root, "..", DEMO), names)];
  const stale = names.filter((name) => built.get(name) !== committed.get(name)).map((name) => `${DEMO}/${name} is not what web/demo builds to`);
  const { integrity } = await bundleScript();
  if (integrity !== (await shownIntegrity())) stale.push("the integrity in web/inbox/README.md is not that of the file for a <script> tag");
  for (const what of stale) console.error(`${what}: run \`npm run build\` and commit it`);
  if (stale.length) process.exit(1);
  console.log(`${names.length} files of ${DEMO} and the hash in inbox/README.md are fresh`);
} finally {
  await rm(dir, { recursive: true });
}
