import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { announce } from "../state/announce.ts";
import { IconButton } from "./IconButton.tsx";

const SHOWN_MS = 1600;

export function CopyButton({ text }: { text: string }): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await copyText(text);
    setCopied(true);
    announce(t("action.copied"));
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  const label = isCopied ? t("action.copied") : t("action.copy");
  return (
    <IconButton icon={isCopied ? "check" : "copy"} label={label} onClick={() => void copy()} />
  );
}

/** Pages that did not come over TLS, or from this machine, have no clipboard of their own. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
