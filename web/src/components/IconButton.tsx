import type { JSX } from "preact";

import { Icon } from "./icons.tsx";
import type { IconName } from "./icons.tsx";

interface Properties {
  icon: IconName;
  label: string;
  onClick: (event: MouseEvent) => void;
  class?: string;
  disabled?: boolean;
  text?: boolean;
}

/** A button that is a picture, with its name for those who do not see it. text: the name is shown too. */
export function IconButton({ icon, label, text = false, ...rest }: Properties): JSX.Element {
  return (
    <button
      type="button"
      {...rest}
      class={`icon-button ${text ? "with-text" : ""} ${rest.class ?? ""}`}
      aria-label={label}
      title={text ? undefined : label}
    >
      <Icon name={icon} />
      {text && <span>{label}</span>}
    </button>
  );
}
