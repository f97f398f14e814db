import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";

const languages = {
  bash,
  c,
  cpp,
  css,
  diff,
  go,
  java,
  json,
  python,
  rust,
  sql,
  typescript,
  xml,
  yaml,
};
const lowlight = createLowlight(languages);
lowlight.registerAlias({ typescript: ["javascript", "js", "jsx", "ts", "tsx"], bash: ["console"] });

/** Coloured pieces of code: what kind each is (a class, or none), in order. */
export type Piece = [text: string, kind: string | null];

export function highlight(text: string, language: string): Piece[] | null {
  if (!lowlight.registered(language)) return null;
  return flatten(lowlight.highlight(language, text).children as Branch[], null);
}

interface Branch {
  type: string;
  value?: string;
  properties?: { className?: string[] };
  children?: Branch[];
}

function flatten(branches: Branch[], kind: string | null): Piece[] {
  return branches.flatMap((branch) =>
    branch.type === "text"
      ? [[branch.value ?? "", kind] as Piece]
      : flatten(branch.children ?? [], branch.properties?.className?.join(" ") ?? kind),
  );
}
