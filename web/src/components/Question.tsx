import type { JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { edit, isAnswering } from "../state/answering.ts";
import { openDocument } from "../state/pane.ts";
import type { UserTurn } from "../state/turns.ts";
import { CopyButton } from "./CopyButton.tsx";
import { IconButton } from "./IconButton.tsx";
import { Icon } from "./icons.tsx";

export function Question({ turn, index }: { turn: UserTurn; index: number }): JSX.Element {
  const [isEdited, setEdited] = useState(false);
  const send = (text: string): void => {
    setEdited(false);
    void edit(index, text);
  };
  return (
    <article class="question" aria-label={t("chat.you")}>
      {turn.documents.map(({ id, name }) => (
        <button
          key={id}
          type="button"
          class="chip"
          onClick={() => openDocument({ id, name, page: 1 })}
        >
          <Icon name="file" />
          <span class="name">{name}</span>
        </button>
      ))}
      {isEdited ? (
        <Editor text={turn.text} onSend={send} onLeave={() => setEdited(false)} />
      ) : (
        <p class="bubble">{turn.text}</p>
      )}
      {!isEdited && (
        <div class="actions">
          <CopyButton text={turn.text} />
          <IconButton
            icon="edit"
            label={t("action.edit")}
            disabled={isAnswering.value}
            onClick={() => setEdited(true)}
          />
        </div>
      )}
    </article>
  );
}

interface EditorProperties {
  text: string;
  onSend: (text: string) => void;
  onLeave: () => void;
}

function Editor({ text, onSend, onLeave }: EditorProperties): JSX.Element {
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  const send = (): void => {
    const written = area.current!.value.trim();
    if (written !== "") onSend(written);
  };
  const onKey = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.isComposing) return;
    if (event.key === "Escape") onLeave();
    else if (event.key === "Enter" && !event.shiftKey) send();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="editor">
      <textarea ref={area} aria-label={t("action.edit")} rows={3} onKeyDown={onKey}>
        {text}
      </textarea>
      <button type="button" class="button is-quiet" onClick={onLeave}>
        {t("action.cancel")}
      </button>
      <button type="button" class="button" onClick={send}>
        {t("composer.send")}
      </button>
    </div>
  );
}
