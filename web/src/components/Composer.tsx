import type { JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { ask, isAnswering, stop } from "../state/answering.ts";
import { uploads } from "../state/documents.ts";
import { clearDraft, draftDocuments, draftText, focusWanted } from "../state/draft.ts";
import { estimate } from "../state/estimate.ts";
import { serverState } from "../state/server.ts";
import { Attachments } from "./Attachments.tsx";
import { ContextMeter } from "./ContextMeter.tsx";
import { EstimateLine } from "./EstimateLine.tsx";
import { FilePicker } from "./FilePicker.tsx";
import { Icon } from "./icons.tsx";

/** Where questions are written. Enter sends, Shift+Enter begins a line. */
export function Composer(): JSX.Element {
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    // At the start a phone would cover half of the page with its keyboard.
    if (focusWanted.value > 0 || matchMedia("(hover: hover)").matches) area.current?.focus();
  }, [focusWanted.value]);
  useLayoutEffect(() => fit(area.current!), [draftText.value]);
  return (
    <form class="composer" onSubmit={(event) => (event.preventDefault(), send())}>
      <EstimateLine />
      <div class="box">
        <Attachments />
        <textarea
          ref={area}
          rows={1}
          aria-label={t("composer.label")}
          placeholder={t("composer.placeholder")}
          value={draftText.value}
          onInput={(event) => (draftText.value = event.currentTarget.value)}
          onKeyDown={onKey}
        />
        <div class="tools">
          <FilePicker class="icon-button" label={t("documents.choose")}>
            <Icon name="attach" />
          </FilePicker>
          <ContextMeter />
          <SendButton />
        </div>
      </div>
    </form>
  );
}

function SendButton(): JSX.Element {
  if (isAnswering.value) {
    return (
      <button
        type="button"
        class="send"
        aria-label={t("composer.stop")}
        title={t("composer.stop")}
        onClick={stop}
      >
        <Icon name="stop" />
      </button>
    );
  }
  return (
    <button
      type="submit"
      class="send"
      aria-label={t("composer.send")}
      title={t("composer.send")}
      disabled={!canSend()}
    >
      <Icon name="send" />
    </button>
  );
}

function canSend(): boolean {
  const isReady = serverState.value === "ready" && !isAnswering.value && uploads.value.length === 0;
  return isReady && draftText.value.trim() !== "" && estimate.value?.fits !== false;
}

function send(): void {
  if (!canSend()) return;
  const [text, documents] = [draftText.value.trim(), draftDocuments.value];
  const expectedMs = estimate.value === null ? null : 1000 * estimate.value.seconds;
  clearDraft();
  void ask(text, documents, expectedMs);
}

function onKey(event: TargetedKeyboardEvent<HTMLTextAreaElement>): void {
  // While an input method composes, Enter chooses a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
}

/** As high as its text, up to the height that the style sheet allows. */
function fit(area: HTMLTextAreaElement): void {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
