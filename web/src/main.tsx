import { render } from "preact";

import "./styles/index.css";
import { App } from "./components/App.tsx";
import { followLanguage } from "./i18n/index.ts";
import { followDraft } from "./state/estimate.ts";
import { followKeys } from "./state/keyboard.ts";
import { followTheme } from "./state/preferences.ts";
import { followServer } from "./state/server.ts";

followTheme();
followLanguage();
followKeys();
followDraft();
render(<App />, document.getElementById("app")!);
followServer();
