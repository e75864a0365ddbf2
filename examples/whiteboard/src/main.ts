// The whiteboard: a room whose messages are strokes.

import { createClient } from "@switchboard/client";
import { Canvas } from "./canvas";
import { type Events, needsOlder, strokesOf } from "./events";
import { Cursors, showPeople } from "./people";
import { followPointers } from "./pointers";
import { StrokesUnderWay } from "./strokes";
import { showTools } from "./tools";
import { isOnBoard, View } from "./view";

const $ = <Kind extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as Kind;
const SERVER = import.meta.env.VITE_SWITCHBOARD_URL ?? "http://127.0.0.1:3000";
const query = new URLSearchParams(location.search);
const user = query.get("user");

function openBoard(me: string) {
  const client = createClient<Events>(SERVER, { auth: { user: me }, history: 200 });
  const room = client.room(query.get("board") ?? "board");
  const view = new View();
  const canvas = new Canvas($<HTMLCanvasElement>("finished"), $<HTMLCanvasElement>("under-way"), view);
  const cursors = new Cursors($("cursors"), view);
  const underWay = new StrokesUnderWay(room, me, () => canvas.drawUnderWay(underWay.all));
  const tools = showTools($("tools"), undo, clear);

  function undo() {
    const last = strokesOf(room.getSnapshot().messages).findLast((stroke) => stroke.user === me);
    if (last) room.publish("undo", { id: last.id }).catch(() => {});
  }

  function clear() {
    if (confirm("Clear the board for everybody?")) room.publish("clear", null).catch(() => {});
  }

  function render() {
    const { messages, members, hasOlder } = room.getSnapshot();
    const strokes = strokesOf(messages);
    canvas.draw(strokes);
    underWay.finished(messages.map(({ id }) => id));
    underWay.keepOnly(new Set(members.users.map(({ user }) => user)));
    cursors.keepOnly(members.users);
    tools.setCanUndo(strokes.some(({ user }) => user === me));
    showPeople($("people"), members.users, members.count, me);
    showState();
    if (hasOlder && needsOlder(messages)) loadOlder();
  }

  // Who comes late has the whole board: page by page, back to its beginning or to when it was cleared.
  let loading = false;
  async function loadOlder() {
    if (loading) return;
    loading = true;
    // After a failure the next change of the room tries again.
    await room.loadOlder(1000).catch(() => {});
    loading = false;
  }

  function showState() {
    const { status, error, messages } = room.getSnapshot();
    const failed = messages.filter(({ state }) => state === "failed").length;
    const words = { idle: "", joining: "connecting", joined: "", offline: "offline: draw on, it is kept", refused: "refused" };
    $("state").textContent = failed > 0 ? `${failed} not saved` : (error?.message ?? words[status]);
  }

  function refresh() {
    canvas.refresh();
    canvas.drawUnderWay(underWay.all);
    cursors.refresh();
  }

  room.subscribe(render);
  room.on("cursor", (place, { from }) => {
    if (!from || from.user === me) return;
    if (place) cursors.move(from.user, from.name ?? from.user, place);
    else cursors.remove(from.user);
  });
  room.on("drawing", ({ points }, { from }) => {
    const [x, y] = points.slice(-2);
    if (from && from.user !== me && x !== undefined && y !== undefined) cursors.move(from.user, from.name ?? from.user, { x, y });
  });
  followPointers($("stage"), view, {
    begin: (place) => underWay.begin(place, tools),
    extend: (places) => underWay.extend(places),
    end: () => underWay.end(),
    cancel: () => underWay.cancel(),
    point: (place) => underWay.point(place && isOnBoard(place) ? place : null),
    viewChanged: () => {
      $("hint").hidden = true;
      refresh();
    },
  });
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
  });
  // A user is here for some seconds more, in case this is a reload. The cursor need not be.
  addEventListener("pagehide", () => underWay.leave());
  new ResizeObserver(() => {
    view.resize($("stage").clientWidth, $("stage").clientHeight);
    refresh();
  }).observe($("stage"));
  render();
}

$("name").hidden = user !== null;
$("hint").hidden = user === null;
if (user) openBoard(user);
