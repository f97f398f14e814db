import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { newConversation } from "../state/conversations.ts";
import { focusComposer } from "../state/draft.ts";
import { focusLater } from "../state/focus.ts";
import { isDrawerOpen } from "../state/preferences.ts";
import { ConversationList } from "./ConversationList.tsx";
import { DocumentList } from "./DocumentList.tsx";
import { IconButton } from "./IconButton.tsx";
import { RailFoot } from "./RailFoot.tsx";

/** What is kept: documents and conversations. On a phone it is a drawer. */
export function Rail(): JSX.Element {
  const rail = useRef<HTMLElement>(null);
  const close = (): void => void (isDrawerOpen.value = false);
  useEffect(() => {
    if (!isDrawerOpen.value) return;
    rail.current?.querySelector<HTMLElement>(".drawer-only")?.focus();
    return () => giveBack(rail.current!);
  }, [isDrawerOpen.value]);
  const start = (): void => {
    newConversation();
    close();
    focusComposer();
  };
  return (
    <>
      <div class="scrim" onClick={close} />
      <aside ref={rail} class="rail" aria-label={t("rail.label")}>
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

/** The focus goes back to what opened the drawer, unless something else has asked for it. */
function giveBack(rail: HTMLElement): void {
  const focused = document.activeElement;
  if (focused !== document.body && !rail.contains(focused)) return;
  focusLater(document.querySelector<HTMLElement>(".bar .icon-button"));
}
