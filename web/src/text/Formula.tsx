import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

let katex: Promise<typeof import("./katex.ts")> | undefined;

/** A formula; its source until the typesetter is loaded, and where it cannot be read. */
export function Formula({ text, display }: { text: string; display: boolean }): JSX.Element {
  const place = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    let isCurrent = true;
    katex ??= import("./katex.ts");
    void katex.then(
      ({ typeset }) => isCurrent && place.current && typeset(text, display, place.current),
    );
    return () => void (isCurrent = false);
  }, [text, display]);
  // The key makes a new element for a new formula: what the typesetter put into the old one is gone.
  return (
    <span key={text} ref={place} class={display ? "formula display" : "formula"}>
      {text}
    </span>
  );
}
