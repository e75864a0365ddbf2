// The page: asks for a name, and opens the document that the address names after its #.

import { type ConnectionState, openDocument } from "./document";
import { createEditor } from "./editor";
import { showPeople } from "./people";

const $ = <Kind extends HTMLElement = HTMLElement>(selector: string) => document.querySelector(selector) as Kind;
const nameInput = $<HTMLInputElement>("input[name=document]");

// Each tab is somebody, also after a reload.
let user = sessionStorage.getItem("user");
let online = true;
let isRefused = false;
let current: { document: ReturnType<typeof openDocument>; editor: ReturnType<typeof createEditor> } | undefined;

/** The names of documents have no white space. */
const toName = (text: string) => text.trim().replace(/\s+/g, "-");

function nameInAddress() {
  try {
    return toName(decodeURIComponent(location.hash.slice(1))) || "welcome";
  } catch {
    return "welcome";
  }
}

function open(user: string) {
  current?.editor.close();
  current?.document.close();
  const name = nameInAddress();
  nameInput.value = name;
  document.title = `${name} – Editor`;
  const opened = openDocument(name, user, online, showState);
  const editor = createEditor($("#text"), opened);
  current = { document: opened, editor };
  showPeople($("#people"), opened.awareness, user, editor.goTo);
  showUndo();
  for (const event of ["stack-item-added", "stack-item-popped", "stack-cleared"] as const) editor.undoManager.on(event, showUndo);
  editor.focus();
}

function showState({ status, reason }: ConnectionState) {
  isRefused = status === "refused";
  if (isRefused) online = false;
  const words = {
    connecting: "Connecting…",
    connected: "Connected",
    offline: "Offline: your edits are kept and sent when you are back",
    refused: `Your text is kept here, but the server refuses it: ${reason}`,
  };
  $("#state").textContent = words[status];
  $("#state").dataset.status = status;
  $("#connection").textContent = online ? "Go offline" : "Go online";
}

// Not `disabled`, which would take the focus away from who undoes everything.
function showUndo() {
  const { undoStack, redoStack } = current!.editor.undoManager;
  $("#undo").ariaDisabled = `${undoStack.length === 0}`;
  $("#redo").ariaDisabled = `${redoStack.length === 0}`;
}

function begin(name: string) {
  user = name;
  sessionStorage.setItem("user", name);
  $("#introduction").hidden = true;
  $("#editor").hidden = false;
  open(name);
}

$("#introduction form").addEventListener("submit", (event) => {
  event.preventDefault();
  begin($<HTMLInputElement>("input[name=user]").value.trim());
});
$("#editor form").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent(toName(nameInput.value));
});
$("#connection").addEventListener("click", () => {
  online = !online;
  // Yjs keeps what was deleted for undo. Opened again, the document has let go of it, and may be small enough.
  if (isRefused) open(user!);
  else current!.document.setOnline(online);
});
addEventListener("hashchange", () => user && open(user));
for (const what of ["undo", "redo"] as const) {
  $(`#${what}`).addEventListener("click", () => current!.editor.undoManager[what]());
  // The editor keeps the focus, and a telephone its keyboard.
  $(`#${what}`).addEventListener("mousedown", (event) => event.preventDefault());
}

if (user) begin(user);
else {
  $("#introduction").hidden = false;
  $("input[name=user]").focus();
}
