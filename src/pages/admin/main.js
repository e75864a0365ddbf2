// Starts the dashboard: the session, the stats, and the view that the address's fragment names.

import { bdi, byId, make, setText } from "../shared/dom.js";
import { closeSession, config, explain, findSession, onSessionEnd } from "./api.js";
import { tell } from "./dialog.js";
import { openDocuments } from "./documents.js";
import { readFragment } from "./fragment.js";
import { openHooks } from "./hooks.js";
import { hideLogIn, mountLogIn, showLogIn } from "./log_in.js";
import { problemsOf } from "./node_state.js";
import { openNodes } from "./nodes.js";
import { openOverview } from "./overview.js";
import { openRoom } from "./room.js";
import { openRooms } from "./rooms.js";
import { openStats } from "./stats_stream.js";
import { openUser } from "./user.js";
import { openUsers } from "./users.js";

// By how many parts the fragment has.
const VIEWS = {
  "": [openOverview],
  nodes: [, openNodes],
  rooms: [, openRooms, openRoom],
  documents: [, openDocuments],
  users: [, openUsers, openUser],
  hooks: [, openHooks],
};

// Between two looks whether the session has ended: clocks differ, and timers have a limit.
const SHORTEST_MS = 30_000;
const LONGEST_MS = 12 * 3_600_000;

let session; // { stats?, view, closing, stream, ending } while there is one

function enter(expiresAt) {
  hideLogIn();
  session = {};
  show();
  watchEnd(expiresAt);
  session.stream = openStats({ changed: update, onSessionEnd: endSession });
  byId("title").focus();
}

function leave(reason) {
  if (!session) return;
  session.closing.abort();
  session.stream?.close();
  clearTimeout(session.ending);
  session = undefined;
  byId("view").replaceChildren();
  showLogIn(reason);
}

// A page that only listens would not hear of the end.
function watchEnd(expiresAt) {
  const closing = session;
  const check = async () => {
    const expires = await findSession().catch(() => Date.now());
    if (closing !== session) return;
    if (expires === null) endSession();
    else watchEnd(expires);
  };
  session.ending = setTimeout(check, Math.min(LONGEST_MS, Math.max(SHORTEST_MS, expiresAt - Date.now())));
}

const endSession = () => leave("The session has ended. Log in again; you come back to where you were.");

// Shows the view of the address.
function show() {
  session.closing?.abort();
  session.closing = new AbortController();
  const { parts = ["nowhere"], query = {} } = readFragment(location.hash) ?? {};
  const open = VIEWS[parts[0] ?? ""]?.[parts.length] ?? openNothing;
  setText(byId("subtitle"), "");
  session.view = open({ parts, query, signal: session.closing.signal, subtitle: byId("subtitle"), onSessionEnd: endSession });
  const { title, isName, parent, element } = session.view;
  const link = parent ? [make("a", { href: parent[0] }, parent[1]), " / "] : [];
  byId("title").replaceChildren(...link, isName ? bdi(title) : title);
  document.title = [title, parent?.[1], "Switchboard"].filter(Boolean).join(" · ");
  byId("view").replaceChildren(element);
  byId("view").scrollTop = 0;
  for (const anchor of byId("views").querySelectorAll("a")) {
    if (anchor.hash === `#/${parts[0] ?? ""}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (session.stats) session.view.update?.(session.stats);
}

function openNothing() {
  const text = ["There is nothing at this address. ", make("a", { href: "#/" }, "To the overview"), "."];
  return { title: "Not found", element: make("div", { className: "page" }, make("p", { className: "none" }, ...text)) };
}

function update(stats) {
  session.stats = stats;
  const troubled = stats.missing + stats.nodes.filter((node) => problemsOf(node).length > 0).length;
  const badge = byId("nodes-badge");
  badge.hidden = troubled === 0;
  if (badge.count !== troubled) badge.replaceChildren(`${troubled}`, make("span", { className: "hidden" }, " not ready"));
  badge.count = troubled;
  session.view.update?.(stats);
}

async function logOut() {
  try {
    await closeSession();
    leave("You are logged out.");
  } catch (error) {
    if (error.status === 401) leave("You are logged out.");
    else tell(`You are still logged in. ${explain(error)}`);
  }
}

mountLogIn(enter);
onSessionEnd(endSession);
byId("version").textContent = config.version;
byId("log-out").onclick = logOut;
addEventListener("hashchange", () => {
  if (!session) return;
  show();
  byId("title").focus();
});
try {
  const expiresAt = await findSession();
  if (expiresAt === null) showLogIn();
  else enter(expiresAt);
} catch (error) {
  showLogIn(explain(error));
}
