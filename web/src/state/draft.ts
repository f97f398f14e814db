import { signal } from "@preact/signals";

import type { DocumentRef } from "./turns.ts";

/** The next question. */
export const draftText = signal("");
export const draftDocuments = signal<DocumentRef[]>([]);

/** The composer listens, and takes the focus whenever this changes. */
export const focusWanted = signal(0);

export function attach(document: DocumentRef): void {
  draftDocuments.value = [
    ...draftDocuments.value.filter((each) => each.id !== document.id),
    document,
  ];
}

export function detach(id: string): void {
  draftDocuments.value = draftDocuments.value.filter((each) => each.id !== id);
}

export function clearDraft(): void {
  draftText.value = "";
  draftDocuments.value = [];
}

export function focusComposer(): void {
  focusWanted.value += 1;
}
