import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import type { Citation } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { around } from "../text/around.ts";

/** The text of a page, with the quote marked and in sight. */
export function PageTextView({ text, quote }: { text: string; quote: Citation | null }): JSX.Element {
  const mark = useRef<HTMLElement>(null);
  const [before, marked, after] = around(text, quote);
  useLayoutEffect(() => mark.current?.scrollIntoView({ block: "center" }), [text, quote]);
  return (
    <section class="page-text" aria-label={t("pane.text")}>
      <h3>{t("pane.text")}</h3>
      <p tabIndex={0}>
        {before}
        {marked !== "" && <mark ref={mark}>{marked}</mark>}
        {after}
      </p>
    </section>
  );
}
