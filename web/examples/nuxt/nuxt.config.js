export default defineNuxtConfig({
  compatibilityDate: "2026-11-30",
  telemetry: false,
  // Read when the server starts: NUXT_PUBLIC_WATCHBELL_URL and NUXT_WATCHBELL_TOKEN.
  runtimeConfig: { watchbellToken: "", public: { watchbellUrl: "" } },
  vue: { compilerOptions: { isCustomElement: (tag) => tag === "watchbell-inbox" } },
});
