import { isAnswering, stop } from "./answering.ts";
import { newConversation } from "./conversations.ts";
import { focusComposer } from "./draft.ts";
import { closePane, openPage, turnTo } from "./pane.ts";
import { isDrawerOpen } from "./preferences.ts";

/** Keys that work anywhere: / and Ctrl+K go to the question, Esc stops, or leaves what is open. */
export function followKeys(): void {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (take(event)) event.preventDefault();
  });
}

function take(event: KeyboardEvent): boolean {
  const withControl = event.ctrlKey || event.metaKey;
  if (event.key === "Escape") return leave();
  if (withControl && event.key.toLowerCase() === "k") return (focusComposer(), true);
  if (withControl && event.shiftKey && event.key.toLowerCase() === "o") {
    newConversation();
    return (focusComposer(), true);
  }
  if (isWriting(event.target) || withControl || event.altKey) return false;
  if (event.key === "/") return (focusComposer(), true);
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined || openPage.value === null) return false;
  turnTo(Math.max(1, openPage.value.page + step));
  return true;
}

function leave(): boolean {
  if (isDrawerOpen.value) isDrawerOpen.value = false;
  else if (isAnswering.value) stop();
  else if (openPage.value) closePane();
  return true;
}

function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, pre") !== null;
}
