import { effect, signal } from "@preact/signals";

import { load, save } from "./storage.ts";

export type Theme = "auto" | "light" | "dark";

export const theme = signal<Theme>(load<Theme>("longreach.theme", "auto"));

/** The phone's drawer with documents and conversations. */
export const isDrawerOpen = signal(false);

/** Whether there is room for one column only. */
const narrow = matchMedia("(max-width: 50rem)"); // as in layout.css
export const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));

/** Keep the page in step with what is preferred. */
export function followTheme(): void {
  effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
    save("longreach.theme", theme.value);
  });
}
