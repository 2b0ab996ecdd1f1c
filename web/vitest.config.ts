import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["watchbell-source"] },
  ssr: { resolve: { conditions: ["watchbell-source"] } },
  oxc: { jsx: { runtime: "automatic" } },
  test: { include: ["*/test/**/*.test.{ts,tsx}"], exclude: ["browser/**", "**/node_modules/**"] },
});
