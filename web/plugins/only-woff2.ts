import type { Plugin } from "vite";

/** Fonts in the one format that every browser of the last ten years reads; the others are not shipped. */
export function onlyWoff2(): Plugin {
  const otherFormats = /,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\((["'])(?:woff|truetype)\1\)/g;
  return {
    name: "only-woff2",
    enforce: "pre",
    transform(code, id) {
      return id.endsWith(".css") ? { code: code.replace(otherFormats, ""), map: null } : null;
    },
  };
}
