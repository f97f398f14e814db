import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import type { PageText } from "../api/types.ts";
import { asFailure } from "../state/answering.ts";
import { adviceFor } from "../i18n/advice.ts";
import { count } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { hasPages } from "../i18n/pages.ts";
import { documentOf } from "../state/documents.ts";
import { closePane, openPage, pagesOf, turnTo } from "../state/pane.ts";
import { HeatStrip } from "./HeatStrip.tsx";
import { IconButton } from "./IconButton.tsx";
import { PageImage } from "./PageImage.tsx";
import { PageTextView } from "./PageTextView.tsx";

/** A document beside the conversation: one page as a picture and as text, the quote marked. */
export function Pane(): JSX.Element {
  const { id, name, page, quote, shares } = openPage.value!;
  const [pages, setPages] = useState<PageText[] | null>(null);
  const [failure, setFailure] = useState("");
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus();
    return load(id, setPages, setFailure);
  }, [id]);
  const kind = documentOf(id)?.kind;
  const shown = pages?.find((each) => each.number === page);
  return (
    <aside class="pane" aria-label={t("pane.label", { name })}>
      <header>
        <h2 ref={heading} tabIndex={-1} title={name}>
          {name}
        </h2>
        <IconButton icon="close" label={t("action.close")} onClick={closePane} />
      </header>
      <PageTurner
        label={t(hasPages(documentOf(id)) ? "pane.page" : "pane.part")}
        page={page}
        numPages={pages?.length ?? null}
      />
      {shares.length > 0 && (
        <HeatStrip
          document={documentOf(id)}
          shares={shares}
          numPages={pages?.length ?? 0}
          page={page}
          onChoose={turnTo}
        />
      )}
      {failure !== "" && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <div class="page-view">
        {kind === "pdf" && <PageImage key={`${id} ${page}`} id={id} page={page} />}
        {shown && <PageTextView page={shown} quote={quote} />}
      </div>
    </aside>
  );
}

function load(
  id: string,
  setPages: (pages: PageText[] | null) => void,
  setFailure: (text: string) => void,
): () => void {
  let isCurrent = true;
  setPages(null);
  setFailure("");
  const failed = (error: unknown): void => {
    const failure = asFailure(error);
    if (isCurrent) setFailure(`${failure.message} ${adviceFor(failure)}`);
  };
  pagesOf(id).then((pages) => isCurrent && setPages(pages), failed);
  return () => void (isCurrent = false);
}

function PageTurner({
  label,
  page,
  numPages,
}: {
  label: string;
  page: number;
  numPages: number | null;
}): JSX.Element {
  const last = numPages ?? page;
  const go = (wanted: number): void => {
    if (Number.isInteger(wanted)) turnTo(Math.min(Math.max(wanted, 1), last));
  };
  return (
    <div class="turner" role="group" aria-label={t("pane.pages")}>
      <IconButton
        icon="left"
        label={t("pane.previous")}
        disabled={page <= 1}
        onClick={() => go(page - 1)}
      />
      <label>
        <span>{label}</span>
        <input
          type="number"
          min={1}
          max={last}
          value={page}
          onChange={(event) => go(event.currentTarget.valueAsNumber)}
        />
        <span>{numPages === null ? "" : t("pane.of", { count: count(numPages) })}</span>
      </label>
      <IconButton
        icon="right"
        label={t("pane.next")}
        disabled={page >= last}
        onClick={() => go(page + 1)}
      />
    </div>
  );
}
