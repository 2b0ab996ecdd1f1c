import { defineConfig } from "vitest/config";

/** Tests that judge how long something takes: they have the machine for themselves. */
const ALONE = ["delivery", "client", "outages", "drain"].map((name) => `test/${name}.test.ts`);
/** Files that run at once of the others: most of their time they wait for the page, or for the server's deadlines. */
const AT_ONCE = 2;

const common = { root: import.meta.dirname, testTimeout: 60_000, hookTimeout: 60_000 };

/** The tests in a real Chromium against the real program, each file with a browser and a server of its own. */
export default defineConfig({
  test: {
    projects: [
      { test: { ...common, name: "side by side", include: ["test/**/*.test.ts"], exclude: ALONE, maxWorkers: AT_ONCE, sequence: { groupOrder: 0 } } },
      { test: { ...common, name: "alone", include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});
