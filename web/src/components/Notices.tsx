import type { JSX } from "preact";

import { t } from "../i18n/index.ts";
import { dismiss, notices } from "../state/notices.ts";
import { IconButton } from "./IconButton.tsx";
import { Icon } from "./icons.tsx";

export function Notices(): JSX.Element {
  return (
    <div class="notices" role="alert">
      {notices.value.map(({ key, about, text, advice }) => (
        <div class="notice" key={key}>
          <Icon name="warn" />
          <p>
            {about !== null && <strong>{about}: </strong>}
            {text} {advice}
          </p>
          <IconButton icon="close" label={t("action.dismiss")} onClick={() => dismiss(key)} />
        </div>
      ))}
    </div>
  );
}
