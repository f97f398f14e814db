import type { JSX } from "preact";

import { t } from "../i18n/index.ts";
import { IconButton } from "./IconButton.tsx";
import { Icon } from "./icons.tsx";

const TTLS = ["30m", "1h", "1d", "7d"] as const;

interface Properties {
  pinned: boolean;
  onChoose: (ttl: string | null | false) => void;
}

/** Keep what was read of a document for so long. The browser's own list, so that it works everywhere. */
export function PinMenu({ pinned, onChoose }: Properties): JSX.Element {
  if (pinned) {
    return (
      <IconButton icon="pin" class="is-on" label={t("pin.off")} onClick={() => onChoose(false)} />
    );
  }
  const chosen = (select: HTMLSelectElement): void => {
    const { value } = select;
    select.value = "";
    onChoose(value === "ever" ? null : value);
  };
  return (
    <span class="icon-button menu" title={t("pin.on")}>
      <Icon name="pin" />
      <select aria-label={t("pin.on")} value="" onChange={(event) => chosen(event.currentTarget)}>
        <option value="" disabled hidden>
          {t("pin.on")}
        </option>
        {TTLS.map((ttl) => (
          <option key={ttl} value={ttl}>
            {t(`pin.${ttl}`)}
          </option>
        ))}
        <option value="ever">{t("pin.ever")}</option>
      </select>
    </span>
  );
}
