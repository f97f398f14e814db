import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { IconButton } from "./IconButton.tsx";
import type { IconName } from "./icons.tsx";

const ARMED_MS = 4000;

interface Properties {
  icon: IconName;
  label: string;
  confirm: string;
  onConfirm: () => void;
}

/** A button that has to be pressed twice. */
export function ConfirmButton({ icon, label, confirm, onConfirm }: Properties): JSX.Element {
  const [isArmed, setArmed] = useState(false);
  useEffect(() => {
    if (!isArmed) return;
    const timer = setTimeout(() => setArmed(false), ARMED_MS);
    return () => clearTimeout(timer);
  }, [isArmed]);
  return (
    <IconButton
      icon={icon}
      label={isArmed ? confirm : label}
      text={isArmed}
      class={isArmed ? "is-danger" : ""}
      onClick={() => (isArmed ? onConfirm() : setArmed(true))}
    />
  );
}
