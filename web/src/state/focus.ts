/** Give the focus to an element once the page is drawn: until then it may be covered. */
export function focusLater(element: HTMLElement | null): void {
  requestAnimationFrame(() => element?.focus());
}
