import { effect, signal } from "@preact/signals";

import { estimateMessages } from "../api/chat.ts";
import { isAbort } from "../api/errors.ts";
import type { Estimate } from "../api/types.ts";
import { isAnswering, asFailure } from "./answering.ts";
import { turns } from "./conversations.ts";
import { draftDocuments, draftText } from "./draft.ts";
import { modelName, serverState } from "./server.ts";
import { toMessages } from "./turns.ts";
import type { Failure, Turn } from "./turns.ts";

const PAUSE_MS = 350; // of typing, before the server is asked

/** What the next question would take. null: nothing is asked, or not known yet. */
export const estimate = signal<Estimate | null>(null);
export const estimateFailure = signal<Failure | null>(null);
export const isEstimating = signal(false);

/** Keep the estimate in step with the draft. */
export function followDraft(): void {
  let last = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const next = nextTurns();
    const isWanted = serverState.value === "ready" && next !== null && !isAnswering.value;
    last.abort();
    last = new AbortController();
    clearTimeout(timer);
    isEstimating.value = isWanted;
    if (!isWanted) estimate.value = estimateFailure.value = null;
    else timer = setTimeout(() => void renew(next, last.signal), PAUSE_MS);
  });
}

function nextTurns(): Turn[] | null {
  const [text, documents] = [draftText.value, draftDocuments.value];
  const isEmpty = text.trim() === "" && documents.length === 0;
  return isEmpty ? null : [...turns.value, { role: "user", text, documents }];
}

async function renew(next: Turn[], signal: AbortSignal): Promise<void> {
  try {
    estimate.value = await estimateMessages(modelName.value, toMessages(next), signal);
    estimateFailure.value = null;
  } catch (error) {
    if (isAbort(error)) return;
    [estimate.value, estimateFailure.value] = [null, asFailure(error)];
  }
  isEstimating.value = false;
}
