import type { JSX } from "preact";

import { percent } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { factsOf } from "../i18n/pages.ts";
import { documentOf, uploads } from "../state/documents.ts";
import type { Upload } from "../state/documents.ts";
import { detach, draftDocuments } from "../state/draft.ts";
import type { DocumentRef } from "../state/turns.ts";
import { IconButton } from "./IconButton.tsx";
import { Icon } from "./icons.tsx";

/** The documents that go with the next question, and those on their way. */
export function Attachments(): JSX.Element | null {
  if (draftDocuments.value.length + uploads.value.length === 0) return null;
  return (
    <ul class="attachments" aria-label={t("composer.documents")}>
      {draftDocuments.value.map((each) => (
        <Attachment key={each.id} document={each} />
      ))}
      {uploads.value.map((each) => (
        <Arriving key={each.key} upload={each} />
      ))}
    </ul>
  );
}

function Attachment({ document }: { document: DocumentRef }): JSX.Element {
  const known = documentOf(document.id);
  return (
    <li class="chip">
      <Icon name="file" />
      <span class="name">{document.name}</span>
      {known && <span class="facts">{factsOf(known)}</span>}
      <IconButton
        icon="close"
        label={t("composer.detach", { name: document.name })}
        onClick={() => detach(document.id)}
      />
    </li>
  );
}

function Arriving({ upload }: { upload: Upload }): JSX.Element {
  const isSent = upload.sent >= 1;
  return (
    <li class="chip is-arriving">
      <span class="pulse" aria-hidden="true" />
      <span class="name">{upload.name}</span>
      <span class="facts">{isSent ? t("upload.reading") : percent(upload.sent)}</span>
      <progress class="unseen" aria-label={upload.name} value={upload.sent} max={1} />
    </li>
  );
}
