import katex from "katex";
import "katex/dist/katex.min.css";

/** Typeset a formula into an element, node by node. Commands that reach out of the formula are refused. */
export function typeset(text: string, displayMode: boolean, element: HTMLElement): void {
  const options = { displayMode, throwOnError: true, trust: false, maxExpand: 1000, maxSize: 20 };
  try {
    katex.render(text, element, { ...options, strict: "ignore" });
  } catch {
    element.textContent = text; // half a formula, while it is being written
  }
}
