/** Whether the built demo page in the repository is what its sources build to. CI runs it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildDemo, DEMO, filesOf } from "./demo.mjs";
import { root } from "./packages.mjs";

const dir = await mkdtemp(join(tmpdir(), "watchbell-demo-"));
try {
  const names = await buildDemo(dir);
  const [built, committed] = [await filesOf(dir, names), await filesOf(join(root, "..", DEMO), names)];
  const stale = names.filter((name) => built.get(name) !== committed.get(name));
  for (const name of stale) console.error(`${DEMO}/${name} is not what web/demo builds to: run \`npm run build\` and commit it`);
  if (stale.length) process.exit(1);
  console.log(`${names.length} files of ${DEMO} are fresh`);
} finally {
  await rm(dir, { recursive: true });
}
