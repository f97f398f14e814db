import type { ComponentChildren, JSX } from "preact";
import { useRef } from "preact/hooks";

import { addFiles } from "../state/documents.ts";
import { focusComposer } from "../state/draft.ts";

interface Properties {
  label: string;
  class: string;
  children?: ComponentChildren;
}

/** A button that opens the system's file dialog. children: shown in place of the label. */
export function FilePicker({ label, children, ...rest }: Properties): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const chosen = (): void => {
    void addFiles([...(input.current?.files ?? [])]);
    input.current!.value = ""; // the same file may be chosen again
    focusComposer();
  };
  return (
    <>
      <button
        type="button"
        {...rest}
        aria-label={label}
        title={children ? label : undefined}
        onClick={() => input.current?.click()}
      >
        {children ?? label}
      </button>
      <input ref={input} type="file" multiple hidden onChange={chosen} />
    </>
  );
}
