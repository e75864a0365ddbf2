// Documents that are stored, by name. Each can be deleted.

import { bdi, make } from "../shared/dom.js";
import { call, path } from "./api.js";
import { name, openDialog } from "./dialog.js";
import { bytes, count, moment, plural } from "./format.js";
import { pagedList } from "./paged_list.js";

const HINT = "All documents of Yjs clients. Updates are those that are not merged yet; clients are those of the node that answers.";

export function openDocuments({ query, signal }) {
  const done = () => list.refresh();
  const ask = (row) => make("button", { type: "button", "aria-label": `Delete ${row.document}`, onclick: () => askToDelete({ ...row, signal, done }) }, "Delete…");
  const columns = [
    { title: "Document", create: ({ document }) => bdi(document) },
    { title: "Size", isNumber: true, text: ({ bytes: size }) => bytes(size) },
    { title: "Updates", isNumber: true, text: ({ updates }) => count(updates) },
    { title: "Clients", isNumber: true, text: ({ clients }) => count(clients) },
    { title: "Changed", text: ({ changed }) => moment(changed) },
    { title: "Action", create: ask },
  ];
  const list = pagedList({ noun: "documents", key: "document", columns, query, hint: HINT, isWide: true, signal });
  return { title: "Documents", element: list };
}

function askToDelete({ document, signal, done }) {
  openDialog({
    title: "Delete this document?",
    content: [
      make("p", {}, name(document), " is deleted on every node. This cannot be undone."),
      make("p", {}, "Clients that have it open keep what they have. What they write next begins it again, and once they connect again they bring all of it."),
    ],
    confirm: "Delete",
    isDanger: true,
    signal,
    async action() {
      const { clients } = await call("DELETE", path`v1/documents/${document}`);
      done();
      return [name(document), clients > 0 ? ` was deleted; ${plural(clients, "client")} still ${clients === 1 ? "has" : "have"} it open.` : " was deleted."];
    },
  });
}
