import type { JSX } from "preact";
import { useEffect } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { documents, refreshDocuments, uploads } from "../state/documents.ts";
import { serverState } from "../state/server.ts";
import { DocumentCard } from "./DocumentCard.tsx";
import { FilePicker } from "./FilePicker.tsx";
import { Icon } from "./icons.tsx";

const RENEW_MS = 30_000; // what is left of a pin, and what was evicted meanwhile

export function DocumentList(): JSX.Element {
  useEffect(renewWhileSeen, []);
  const isEmpty = documents.value.length === 0 && uploads.value.length === 0;
  return (
    <section aria-labelledby="documents-title">
      <h2 id="documents-title">
        {t("documents.title")}
        <FilePicker class="icon-button" label={t("documents.choose")}>
          <Icon name="plus" />
        </FilePicker>
      </h2>
      {isEmpty && <p class="quiet">{t("documents.none")}</p>}
      <ul class="documents">
        {documents.value.map((each) => (
          <DocumentCard key={each.id} document={each} />
        ))}
      </ul>
    </section>
  );
}

function renewWhileSeen(): () => void {
  const renew = (): void => {
    if (!document.hidden && serverState.value === "ready") void refreshDocuments();
  };
  const timer = setInterval(renew, RENEW_MS);
  document.addEventListener("visibilitychange", renew);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", renew);
  };
}
