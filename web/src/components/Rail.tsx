import type { JSX } from "preact";

import { t } from "../i18n/index.ts";
import { newConversation } from "../state/conversations.ts";
import { focusComposer } from "../state/draft.ts";
import { isDrawerOpen } from "../state/preferences.ts";
import { ConversationList } from "./ConversationList.tsx";
import { DocumentList } from "./DocumentList.tsx";
import { IconButton } from "./IconButton.tsx";
import { RailFoot } from "./RailFoot.tsx";

/** What is kept: documents and conversations. On a phone it is a drawer. */
export function Rail(): JSX.Element {
  const close = (): void => void (isDrawerOpen.value = false);
  const start = (): void => {
    newConversation();
    close();
    focusComposer();
  };
  return (
    <>
      <div class="scrim" onClick={close} />
      <aside class="rail" aria-label={t("rail.label")}>
        <header>
          <span class="wordmark">longreach</span>
          <IconButton icon="plus" label={t("chat.new")} class="new" text onClick={start} />
          <IconButton icon="close" label={t("action.close")} class="drawer-only" onClick={close} />
        </header>
        <div class="rail-lists">
          <DocumentList />
          <ConversationList />
        </div>
        <RailFoot />
      </aside>
    </>
  );
}
