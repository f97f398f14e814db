import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import type { Citation, PageText } from "../api/types.ts";
import { headingOf } from "../i18n/pages.ts";
import { around } from "../text/around.ts";

/** The text of a page, with the quote marked and in sight. */
export function PageTextView({
  page,
  quote,
}: {
  page: PageText;
  quote: Citation | null;
}): JSX.Element {
  const mark = useRef<HTMLElement>(null);
  const [before, marked, after] = around(page.text, quote);
  useLayoutEffect(() => mark.current?.scrollIntoView({ block: "center" }), [page, quote]);
  return (
    <section class="page-text" aria-label={headingOf(page)}>
      <h3>{headingOf(page)}</h3>
      <p tabIndex={0}>
        {before}
        {marked !== "" && <mark ref={mark}>{marked}</mark>}
        {after}
      </p>
    </section>
  );
}
