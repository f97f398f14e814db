import type { JSX } from "preact";

import { t } from "../i18n/index.ts";
import { serverState } from "../state/server.ts";

export function ServerBanner(): JSX.Element | null {
  const state = serverState.value;
  if (state !== "loading" && state !== "away") return null;
  return (
    <p class="banner" role="status">
      <span class="pulse" aria-hidden="true" />
      {t(state === "loading" ? "server.loading" : "server.away")}
    </p>
  );
}
