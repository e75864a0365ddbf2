// Signs in, shows the shop, and connects it to the inbox.

import { showInbox } from "./inbox.mjs";

const $ = (id) => document.getElementById(id);

export async function request(method, path, body) {
  const response = await fetch(path, { method, headers: { "content-type": "application/json" }, body: body && JSON.stringify(body) });
  const result = await response.json();
  if (!response.ok) throw Object.assign(new Error(result.message), { status: response.status });
  return result;
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await request("POST", "/login", { user: new FormData($("login")).get("user").trim() });
    location.reload();
  } catch ({ message }) {
    $("login").querySelector("[role=alert]").textContent = message;
  }
});

$("logout").addEventListener("click", async () => {
  await request("POST", "/logout");
  location.reload();
});

function showShop({ user, url, products }) {
  $("shop").hidden = false;
  $("logout").textContent = `Sign out ${user}`;
  for (const [product, name] of Object.entries(products)) {
    const button = Object.assign(document.createElement("button"), { textContent: "Order" });
    button.setAttribute("aria-label", `Order ${name}`);
    button.addEventListener("click", () => request("POST", "/orders", { product }));
    const item = document.createElement("li");
    item.append(name, button);
    $("products").append(item);
  }
  showInbox(url, () => request("GET", "/token"));
}

try {
  showShop(await request("GET", "/session"));
} catch (error) {
  if (error.status !== 401) throw error;
  $("login").hidden = false;
}
