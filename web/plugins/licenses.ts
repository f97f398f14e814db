import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const FONTS = [join(import.meta.dirname, "../node_modules/@fontsource-variable/inter")]; // no modules
const IN_PACKAGE = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/;

function textOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
}

/** Writes licenses.txt: what the packages that went into the page ask to be told of them. */
export function licenses(): Plugin {
  const folders = new Set<string>(FONTS);
  const add = (id: string): void => {
    const folder = IN_PACKAGE.exec(id.replace(/^\0/, ""))?.[1];
    if (folder !== undefined && existsSync(join(folder, "package.json"))) folders.add(folder);
  };
  return {
    name: "licenses",
    apply: "build",
    moduleParsed: ({ id }) => add(id),
    generateBundle() {
      const ordered = [...folders].sort((a, b) => (a < b ? -1 : 1));
      const source = ordered.map(textOf).join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "licenses.txt", source });
    },
  };
}
