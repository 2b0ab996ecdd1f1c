/** Serves the page with the inbox over a session that is made up (browser/page/made-up.ts), for pictures, tests and figures. */
import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "vite";
import { root } from "./packages.mjs";

const PAGE = (policy) => `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Inbox</title><meta name="viewport" content="width=device-width">${policy}</head><body></body><script type="module" src="/page.js"></script></html>`;
/** The page's own policy where it is asked for with `/trusted`. */
const TRUSTED = `<meta http-equiv="Content-Security-Policy" content="require-trusted-types-for 'script'; trusted-types watchbell">`;

export async function servePage() {
  const { output } = await build({
    root, configFile: false, logLevel: "warn", resolve: { conditions: ["watchbell-source"] },
    build: { write: false, minify: false, target: "es2022", rolldownOptions: { input: join(root, "browser/page/made-up.ts"), output: { codeSplitting: false } } },
  });
  const files = {
    "/page.js": ["text/javascript", output[0].code],
    "/push-worker.js": ["text/javascript", ""],
    "/trusted": ["text/html", PAGE(TRUSTED)],
    "/sandboxed": ["text/html", `<!DOCTYPE html><title>Around it</title><iframe title="Inbox" sandbox="allow-scripts" src="/" width="800" height="600"></iframe>`],
    "/framed": ["text/html", `<!DOCTYPE html><title>Around it</title><iframe title="Inbox" src="/" width="420" height="500"></iframe>`],
  };
  const server = createServer(({ url = "" }, answer) => {
    const [type, text] = files[url.split("?")[0]] ?? ["text/html", PAGE("")];
    // A sandboxed page is of no origin, and yet may load its script.
    answer.setHeader("content-type", type).setHeader("access-control-allow-origin", "*").end(text);
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
