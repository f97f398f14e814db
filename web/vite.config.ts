import { defineConfig } from "vite";

import { licenses } from "./plugins/licenses.ts";
import { onlyWoff2 } from "./plugins/only-woff2.ts";
import { sourcesDigest } from "./plugins/sources-digest.ts";

const server = process.env["LONGREACH_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "./", // every address is relative, so the page works below any --root-path
  plugins: [onlyWoff2(), licenses(), sourcesDigest()],
  build: {
    outDir: "../src/longreach/serve/web",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the content security policy lets no data: script or style pass
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": server, "/ready": server } },
});
