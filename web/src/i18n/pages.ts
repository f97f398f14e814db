import type { DocumentInfo, PageText } from "../api/types.ts";
import { compact, count } from "./format.ts";
import { t } from "./index.ts";

/** Files without pages are read in stretches of lines, which are called parts. */
export function hasPages(document: DocumentInfo | undefined): boolean {
  return document === undefined || document.kind === "pdf" || document.kind === "pptx";
}

/** "p. 12", "part 3". */
export function pageName(document: DocumentInfo | undefined, page: number | string): string {
  const number = typeof page === "number" ? count(page) : page;
  return t(hasPages(document) ? "page.short" : "part.short", { page: number });
}

/** "212 pages · 148K tokens", as far as they are known. */
export function factsOf(document: DocumentInfo): string {
  const { pages, tokens } = document;
  return [
    pages !== null &&
      t(
        hasPages(document)
          ? plural(pages, "page.one", "page.many")
          : plural(pages, "part.one", "part.many"),
        { count: count(pages) },
      ),
    tokens !== null && t("documents.tokens", { count: compact(tokens) }),
  ]
    .filter(Boolean)
    .join(" · ");
}

function plural<T>(value: number, one: T, many: T): T {
  return value === 1 ? one : many;
}

/** "Text of the page", "Lines 81–160". */
export function headingOf({ label }: PageText): string {
  const lines = /^lines? (\d+)(?:-(\d+))?$/.exec(label);
  if (lines === null) return t("pane.text");
  return t("pane.lines", { lines: lines.slice(1).filter(Boolean).join("–") });
}
