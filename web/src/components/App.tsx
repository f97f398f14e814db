import type { JSX } from "preact";

import { t } from "../i18n/index.ts";
import { announcement } from "../state/announce.ts";
import { turns } from "../state/conversations.ts";
import { openPage } from "../state/pane.ts";
import { isDrawerOpen, isNarrow } from "../state/preferences.ts";
import { Composer } from "./Composer.tsx";
import { DropZone } from "./DropZone.tsx";
import { IconButton } from "./IconButton.tsx";
import { KeyDialog } from "./KeyDialog.tsx";
import { Notices } from "./Notices.tsx";
import { Pane } from "./Pane.tsx";
import { Rail } from "./Rail.tsx";
import { ServerBanner } from "./ServerBanner.tsx";
import { Turns } from "./Turns.tsx";
import { Welcome } from "./Welcome.tsx";

export function App(): JSX.Element {
  const isCovered = isDrawerOpen.value || (isNarrow.value && openPage.value !== null);
  return (
    <div
      class={`app ${openPage.value ? "has-pane" : ""} ${isDrawerOpen.value ? "has-drawer" : ""}`}
    >
      <Rail />
      <main inert={isCovered}>
        <header class="bar">
          <IconButton
            icon="menu"
            label={t("rail.open")}
            onClick={() => (isDrawerOpen.value = true)}
          />
          <span class="wordmark">longreach</span>
        </header>
        <ServerBanner />
        {turns.value.length === 0 ? <Welcome /> : <Turns />}
        <Notices />
        <Composer />
      </main>
      {openPage.value && <Pane />}
      <DropZone />
      <KeyDialog />
      <p class="unseen" role="status" aria-live="polite">
        {announcement.value}
      </p>
    </div>
  );
}
