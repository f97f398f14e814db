import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { t } from "../i18n/index.ts";
import { addFiles } from "../state/documents.ts";
import { Icon } from "./icons.tsx";

/** Files may be dropped anywhere on the page, or pasted. */
export function DropZone(): JSX.Element | null {
  const [isOver, setOver] = useState(false);
  useEffect(() => listen(setOver), []);
  if (!isOver) return null;
  return (
    <div class="drop-zone" aria-hidden="true">
      <div>
        <Icon name="file" />
        {t("documents.drop")}
      </div>
    </div>
  );
}

function listen(setOver: (isOver: boolean) => void): () => void {
  const controller = new AbortController();
  const { signal } = controller;
  const hasFiles = (event: DragEvent): boolean =>
    event.dataTransfer?.types.includes("Files") ?? false;
  const over = (event: DragEvent): void => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setOver(true);
  };
  const leave = (event: DragEvent): void => {
    if (event.relatedTarget === null) setOver(false);
  };
  const drop = (event: DragEvent): void => {
    setOver(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    void addFiles([...event.dataTransfer!.files]);
  };
  const paste = (event: ClipboardEvent): void =>
    void addFiles([...(event.clipboardData?.files ?? [])]);
  addEventListener("dragover", over, { signal });
  addEventListener("dragleave", leave, { signal });
  addEventListener("drop", drop, { signal });
  addEventListener("paste", paste, { signal });
  return () => controller.abort();
}
