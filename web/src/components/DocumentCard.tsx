import type { JSX } from "preact";

import type { DocumentInfo } from "../api/types.ts";
import { bytes, duration, part } from "../i18n/format.ts";
import { t } from "../i18n/index.ts";
import { factsOf } from "../i18n/pages.ts";
import { newConversation } from "../state/conversations.ts";
import { removeDocument, setPinned } from "../state/documents.ts";
import { attach, clearDraft, focusComposer } from "../state/draft.ts";
import { openDocument } from "../state/pane.ts";
import { isDrawerOpen } from "../state/preferences.ts";
import { ConfirmButton } from "./ConfirmButton.tsx";
import { IconButton } from "./IconButton.tsx";
import { PinMenu } from "./PinMenu.tsx";

/** A document of the list: what it is, what of it is cached, and what can be done with it. */
export function DocumentCard({ document }: { document: DocumentInfo }): JSX.Element {
  const { id, filename, pinned, error } = document;
  const askAgain = (): void => {
    newConversation();
    clearDraft();
    attach({ id, name: filename });
    isDrawerOpen.value = false;
    focusComposer();
  };
  const open = (): void => {
    openDocument({ id, name: filename, page: 1 });
    isDrawerOpen.value = false;
  };
  return (
    <li class="document">
      <button type="button" class="name" title={filename} disabled={error !== null} onClick={open}>
        {filename}
      </button>
      <p class="facts">{`${factsOf(document)} · ${bytes(document.bytes)}`}</p>
      {error === null ? <CacheState document={document} /> : <p class="failure">{error.message}</p>}
      <div class="actions">
        {error === null && (
          <IconButton icon="ask" text label={t("documents.ask")} onClick={askAgain} />
        )}
        {error === null && <PinMenu pinned={pinned} onChoose={(ttl) => void setPinned(id, ttl)} />}
        <ConfirmButton
          icon="trash"
          label={t("documents.delete")}
          confirm={t("documents.confirm")}
          onConfirm={() => void removeDocument(id)}
        />
      </div>
    </li>
  );
}

function CacheState({ document }: { document: DocumentInfo }): JSX.Element {
  const { pinned, pinned_until: until, cache_bytes: size } = document;
  const left = until === null ? null : until - Date.now() / 1000;
  const state = stateOf(document);
  return (
    <p class={`cache is-${state}`}>
      <span class="dot" aria-hidden="true" />
      {t(`cache.${state}`, { share: part(shareOf(document)) })}
      {size > 0 && ` · ${bytes(size)}`}
      {pinned &&
        ` · ${left === null ? t("cache.pinned") : t("cache.pinned_for", { time: duration(Math.max(left, 10), 1) })}`}
    </p>
  );
}

function shareOf({ tokens, cached_tokens }: DocumentInfo): number {
  return Math.min(1, cached_tokens / Math.max(tokens ?? 1, 1));
}

/** What is on disk outlives the server. The last tokens of a document never fill a page of the cache. */
function stateOf(document: DocumentInfo): "none" | "part" | "memory" | "disk" {
  const tokens = document.tokens ?? 0;
  const isAll = (known: number): boolean => tokens - known <= Math.max(512, 0.02 * tokens);
  if (document.cached_tokens === 0) return "none";
  if (!isAll(document.cached_tokens)) return "part";
  return document.disk_tokens > 0 && isAll(document.disk_tokens) ? "disk" : "memory";
}
