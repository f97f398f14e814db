import { computed, effect, signal } from "@preact/signals";

import { getModel } from "../api/chat.ts";
import { ApiError } from "../api/errors.ts";
import { isReachable } from "../api/http.ts";
import type { ModelInfo } from "../api/types.ts";
import { refreshDocuments } from "./documents.ts";

export const model = signal<ModelInfo | null>(null);
export const modelName = computed(() => model.value?.id ?? "");

/** loading: the model is. away: nothing answers. */
export const serverState = signal<"unknown" | "loading" | "away" | "ready">("unknown");

/** Know the server, and find it again when it was away. */
export function followServer(): void {
  void connect();
  effect(() => {
    if (!isReachable.value && serverState.peek() === "ready") void connect();
  });
}

/** Ask until the server answers. */
async function connect(): Promise<void> {
  serverState.value = "unknown";
  for (;;) {
    try {
      model.value = await getModel();
      serverState.value = "ready";
      return await refreshDocuments();
    } catch (error) {
      const isLoading = error instanceof ApiError && error.status === 503;
      serverState.value = isLoading ? "loading" : "away";
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}
