import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import { CopyButton } from "../components/CopyButton.tsx";

const highlighter = signal<typeof import("./highlight.ts") | null>(null);
let isLoading = false;

function load(): void {
  if (isLoading) return;
  isLoading = true;
  void import("./highlight.ts").then((loaded) => (highlighter.value = loaded));
}

/** A block of code, in colours once the highlighter is there. */
export function Code({ text, language }: { text: string; language: string }): JSX.Element {
  const code = text.replace(/\n$/, "");
  const loaded = highlighter.value;
  const pieces = useMemo(() => loaded?.highlight(code, language), [loaded, code, language]);
  useEffect(load, []);
  return (
    <figure class="code">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton text={code} />
      </figcaption>
      <pre tabIndex={0}>
        <code>{pieces?.map(([part, kind]) => <span class={kind ?? ""}>{part}</span>) ?? code}</code>
      </pre>
    </figure>
  );
}
