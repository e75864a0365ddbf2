// The back end's HTTP: signing in, tokens and orders, the page, and the modules that it imports.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { placeOrder, PRODUCTS } from "./orders.mjs";
import { tokenFor } from "./switchboard.mjs";

const port = Number(process.env.PORT ?? 8080);
const sessions = new Map();

const routes = {
  "POST /login": ({ body, response }) => {
    if (!/^[\w.-]{1,40}$/.test(body.user)) return [400, { message: "letters, digits, dots and dashes, please" }];
    const id = randomUUID();
    sessions.set(id, body.user);
    response.setHeader("set-cookie", `session=${id}; HttpOnly; SameSite=Strict; Path=/`);
    return [200, {}];
  },
  "POST /logout": ({ session }) => [200, { was: sessions.delete(session) }],
  "GET /session": ({ user }) => [200, { user, url: process.env.SWITCHBOARD_URL, products: PRODUCTS }],
  "GET /token": ({ user }) => [200, { token: tokenFor(user) }],
  "POST /orders": ({ user, body }) =>
    Object.hasOwn(PRODUCTS, body.product) ? [201, { number: placeOrder(user, body.product) }] : [400, { message: "no such product" }],
};

// Who asks. An application has this already; a token must be for nobody else.
function identify(request) {
  const session = request.headers.cookie?.match(/\bsession=([\w-]+)/)?.[1];
  return { session, user: sessions.get(session) };
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const route = routes[`${request.method} ${pathname}`];
  if (!route) return sendFile(pathname, response);
  const who = identify(request);
  if (!who.user && pathname !== "/login") return sendJson(response, 401, { message: "sign in first" });
  const [status, result] = route({ ...who, response, body: request.method === "POST" ? await readJson(request) : {} });
  sendJson(response, status, result);
}

async function readJson(request) {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > 10_000) throw new Error("a body that is too large");
  }
  return JSON.parse(text || "{}");
}

function sendJson(response, status, body) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript" };

// The page's files, and the two packages that it imports as they are: there is no build step.
async function sendFile(pathname, response) {
  const path = pathname === "/" ? "/index.html" : pathname;
  const [, packaged] = path.match(/^\/modules((?:\/@switchboard\/client\/dist|\/socket\.io-client\/dist)\/.*)$/) ?? [];
  const file = new URL(packaged ? `./node_modules${packaged}` : `./public${path}`, import.meta.url);
  const content = await readFile(file).catch(() => undefined);
  response.writeHead(content ? 200 : 404, { "content-type": `${TYPES[extname(path)] ?? "text/plain"}; charset=utf-8` });
  response.end(content ?? "not found");
}

createServer((request, response) => {
  answer(request, response).catch(() => {
    if (response.headersSent) response.destroy();
    else sendJson(response, 400, { message: "a bad request" });
  });
}).listen(port, "127.0.0.1", () => console.log(`The shop: http://127.0.0.1:${port}`));
