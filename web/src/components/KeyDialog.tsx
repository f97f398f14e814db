import type { JSX, TargetedEvent } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { giveKey, keyWanted } from "../api/key.ts";
import { t } from "../i18n/index.ts";

/** Asks for the server's key. There is no way around it: nothing works without. */
export function KeyDialog(): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const wanted = keyWanted.value;
  useEffect(() => {
    if (wanted === null) dialog.current?.close();
    else if (!dialog.current?.open) dialog.current?.showModal();
  }, [wanted]);
  const submit = (event: TargetedEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const key = input.current!.value;
    input.current!.value = "";
    if (key.trim() !== "") giveKey(key);
  };
  return (
    <dialog
      ref={dialog}
      class="key-dialog"
      aria-labelledby="key-title"
      onCancel={(event) => event.preventDefault()}
    >
      <form onSubmit={submit}>
        <h2 id="key-title">{t("key.title")}</h2>
        <p>{t("key.text")}</p>
        {wanted === "refused" && (
          <p class="failure" role="alert">
            {t("key.refused")}
          </p>
        )}
        <label>
          <span>{t("key.label")}</span>
          <input ref={input} type="password" autocomplete="current-password" required autofocus />
        </label>
        <button class="button" type="submit">
          {t("key.open")}
        </button>
      </form>
    </dialog>
  );
}
