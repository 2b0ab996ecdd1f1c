import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["watchbell-source"] },
  ssr: { resolve: { conditions: ["watchbell-source"] } },
  test: { include: ["*/test/**/*.test.ts"], exclude: ["browser/**", "**/node_modules/**"] },
});
