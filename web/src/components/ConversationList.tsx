import type { JSX } from "preact";

import { t } from "../i18n/index.ts";
import { stopIn } from "../state/answering.ts";
import {
  conversations,
  current,
  deleteConversation,
  openConversation,
} from "../state/conversations.ts";
import { isDrawerOpen } from "../state/preferences.ts";
import { titleOf } from "../state/turns.ts";
import { IconButton } from "./IconButton.tsx";

export function ConversationList(): JSX.Element | null {
  if (conversations.value.length === 0) return null;
  const open = (id: string): void => {
    openConversation(id);
    isDrawerOpen.value = false;
  };
  const remove = (id: string): void => {
    stopIn(id);
    deleteConversation(id);
  };
  return (
    <section aria-labelledby="conversations-title">
      <h2 id="conversations-title">{t("chat.list")}</h2>
      <ul class="conversations">
        {conversations.value.map((each) => (
          <li key={each.id} class={each.id === current.value.id ? "is-current" : ""}>
            <button
              type="button"
              aria-current={each.id === current.value.id}
              onClick={() => open(each.id)}
            >
              {titleOf(each) || t("chat.untitled")}
            </button>
            <IconButton icon="close" label={t("chat.delete")} onClick={() => remove(each.id)} />
          </li>
        ))}
      </ul>
    </section>
  );
}
