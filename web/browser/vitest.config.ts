import { defineConfig } from "vitest/config";

/** The tests in a real Chromium against the real program. One after the other: they measure time. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ["test/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
