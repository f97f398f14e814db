import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Plugin } from "vite";

const root = join(import.meta.dirname, "..");

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.name === "node_modules") return [];
    return entry.isDirectory() ? sources(path) : [relative(root, path).split(sep).join("/")];
  });
}

/** SHA-256 over names and contents of everything that the build is made of. */
function digest(): string {
  const hash = createHash("sha256");
  for (const name of sources(root).sort()) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(root, name)))
      .update("\0");
  }
  return hash.digest("hex");
}

/** Writes sources.sha256 beside the page, so that a test can see without Node whether it is up to date. */
export function sourcesDigest(): Plugin {
  return {
    name: "sources-digest",
    apply: "build",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "sources.sha256", source: `${digest()}\n` });
    },
  };
}
