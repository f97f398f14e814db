import type { JSX } from "preact";

import type { Citation, Insight, PageShare } from "../api/types.ts";
import { percent } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { pageName } from "../i18n/pages.ts";
import { documentOf } from "../state/documents.ts";
import { openDocument } from "../state/pane.ts";
import { HeatStrip } from "./HeatStrip.tsx";
import { Icon } from "./icons.tsx";

/** Where an answer stands in its documents, and where it looked. */
export function Sources({ insight }: { insight: Insight }): JSX.Element | null {
  const { citations = [], pages = [] } = insight;
  if (citations.length === 0 && pages.length === 0) return null;
  return (
    <section class="sources" aria-label={t("sources.label")}>
      {citations.length > 0 && (
        <ul>
          {citations.map((citation, index) => (
            <li key={index}>
              <CitationButton citation={citation} pages={pages} />
            </li>
          ))}
        </ul>
      )}
      {[...byDocument(pages)].map(([id, shares]) => (
        <LookedAt key={id} id={id} shares={shares} />
      ))}
    </section>
  );
}

type CitationState = "quoted" | "located" | "elsewhere" | "unverified";

const ICONS = {
  quoted: "check",
  located: "search",
  elsewhere: "warn",
  unverified: "warn",
} as const;

/** elsewhere: the quote stands in the document, but not on the page that the answer names. */
function stateOf({ kind, verified, start, end }: Citation): CitationState {
  if (kind === "located") return "located";
  if (verified) return "quoted";
  return end > start ? "elsewhere" : "unverified";
}

function CitationButton({
  citation,
  pages,
}: {
  citation: Citation;
  pages: PageShare[];
}): JSX.Element {
  const { file_id: id, filename, page, quote } = citation;
  const state = stateOf(citation);
  const open = (): void => {
    if (id === null || page === null) return;
    const shares = pages.filter((each) => each.file_id === id);
    openDocument({ id, name: filename ?? "", page, quote: citation, shares });
  };
  return (
    <button
      type="button"
      class={`citation is-${state}`}
      disabled={id === null || page === null}
      onClick={open}
    >
      {page !== null && (
        <span class="page">{pageName(id === null ? undefined : documentOf(id), page)}</span>
      )}
      {quote !== "" && <q>{quote}</q>}
      <span class="state">
        <Icon name={ICONS[state]} />
        {t(`sources.${state}`)}
      </span>
    </button>
  );
}

function LookedAt({ id, shares }: { id: string; shares: PageShare[] }): JSX.Element {
  const document = documentOf(id);
  const name = document?.filename ?? "";
  const open = (page: number): void => openDocument({ id, name, page, shares });
  const best = [...shares].sort((a, b) => b.share - a.share).slice(0, 3);
  return (
    <div class="looked">
      <p class="quiet">
        {t("sources.looked")}
        {best.map(({ page, share }) => (
          <button key={page} type="button" class="link" onClick={() => open(page)}>
            {pageName(document, page)} ({percent(share)})
          </button>
        ))}
      </p>
      <HeatStrip
        document={document}
        shares={shares}
        numPages={document?.pages ?? 0}
        page={null}
        onChoose={open}
      />
    </div>
  );
}

function byDocument(pages: PageShare[]): Map<string, PageShare[]> {
  return Map.groupBy(
    pages.filter((each) => each.file_id !== null),
    (each) => each.file_id!,
  );
}
