// Starts the page: who you are, then a connection, the rooms, and what shows them.

import { addressOf, config, explainRefusal, serves, showLinks, webSocketAddress } from "./address.js";
import { mountComposer } from "./composer.js";
import { Connection } from "./connection.js";
import { mountConnection, renderConnection } from "./connection_bar.js";
import { byId } from "../shared/dom.js";
import { mountMessages, renderMessages } from "./messages.js";
import { renderPeople } from "./people.js";
import { Rooms } from "./rooms.js";
import { mountSidebar, renderSidebar } from "./sidebar.js";
import { mountSignIn, showSignIn } from "./sign_in.js";
import { mountSnippets, renderSnippets } from "./snippets.js";
import { mountWire, recordFrame, renderWire } from "./wire.js";

// What the views show. `identity` is { user } or { token }: of this tab, so that two tabs are two people.
const app = { identity: null, connection: null, rooms: null, signOut };
const NEW_TAB = { rooms: ["lobby"], active: "lobby" };
// What a reload finds again, kept for this tab alone: the identity, the rooms, and which is shown.
let tab = NEW_TAB;
let rendering;

// Not by animation frame: the title counts unread messages in a hidden tab, too.
function render() {
  rendering ??= setTimeout(() => {
    rendering = undefined;
    if (!app.rooms?.active || byId("chat").hidden) return;
    for (const renderView of [renderSidebar, renderConnection, renderMessages, renderPeople, renderSnippets, renderWire]) renderView(app);
    tab = { identity: app.identity, rooms: [...app.rooms.all.keys()], active: app.rooms.active.name };
    sessionStorage.setItem("tab", JSON.stringify(tab));
  }, 16);
}

function start(identity) {
  app.identity = identity;
  const connection = new Connection({
    address: webSocketAddress(identity),
    explain: () => explainRefusal(identity),
    onState: changeState,
    onFrame: (frame) => app.rooms.receive(frame),
    onWire: (direction, text) => {
      recordFrame(direction, text);
      render();
    },
  });
  Object.assign(app, { connection, rooms: new Rooms(connection, render) });
  for (const room of [...tab.rooms, tab.active]) app.rooms.open(room);
  connection.connect();
}

function changeState({ name, session, error }) {
  if (name === "connected") app.rooms.connected(session);
  else app.rooms.disconnected();
  if (name === "refused") leaveChat(error.code ? `Refused: ${error.message}.` : error.message);
  else if (name !== "connecting") enterChat();
  render();
}

function enterChat() {
  if (!byId("chat").hidden) return;
  byId("sign-in").hidden = true;
  byId("chat").hidden = false;
  showLinks(app.identity);
  // On a phone the focus would open the keyboard.
  if (matchMedia("(hover: hover)").matches) byId("text").focus();
}

function leaveChat(reason) {
  byId("chat").hidden = true;
  document.title = "Switchboard";
  showLinks({});
  showSignIn(app.identity, reason);
}

function signOut() {
  sessionStorage.removeItem("tab");
  tab = NEW_TAB;
  app.connection.close();
  leaveChat();
}

// A tab opened for somebody else, `#user=bob&room=lobby`; or this one, reloaded.
function remembered() {
  const asked = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  const room = asked.get("room") ?? "lobby";
  const fresh = { rooms: [room], active: room };
  if (asked.has("user") && config.open) return { ...fresh, identity: { user: asked.get("user") } };
  return JSON.parse(sessionStorage.getItem("tab")) ?? fresh;
}

tab = remembered();
mountSignIn(start);
for (const mountView of [mountSidebar, mountConnection, mountMessages, mountComposer, mountSnippets, mountWire]) mountView(app);
document.addEventListener("visibilitychange", () => {
  app.rooms?.look();
  render();
});
addEventListener("online", () => app.connection?.state.name === "waiting" && app.connection.connect());
showLinks({});
byId("version").textContent = config.version;
if (!serves("websocket")) showSignIn({}, `This page needs ${addressOf("ws").pathname}, which http.routes leaves out.`);
else if (tab.identity) start(tab.identity);
else showSignIn({});
