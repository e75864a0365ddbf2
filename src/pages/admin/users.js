// Users with a connection on any node, by id.

import { avatar, bdi, make } from "../shared/dom.js";
import { fragment } from "./fragment.js";
import { count } from "./format.js";
import { pagedList } from "./paged_list.js";

const COLUMNS = [
  { title: "User", create: ({ user, name }) => who({ user, name }) },
  { title: "Connections", isNumber: true, text: ({ connections }) => count(connections) },
];

export const openUsers = ({ query, signal }) => ({
  title: "Users",
  element: pagedList({ noun: "users", key: "user", columns: COLUMNS, query, hint: "Users with a connection, on any node.", signal }),
});

// A user's picture, id, and name if there is another.
export function who({ user, name }) {
  const link = make("a", { href: fragment(["users", user]), className: "who-id" }, bdi(user));
  const other = name && name !== user ? [make("span", { className: "who-name" }, bdi(name))] : [];
  return make("span", { className: "who" }, avatar(user), make("span", {}, link, " ", ...other));
}
