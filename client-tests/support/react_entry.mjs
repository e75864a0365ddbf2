// What is bundled for the tests of the hooks, with React 18 or 19 in the place of React.

export * as React from "react";
export * as testing from "@testing-library/react";
export { hydrateRoot } from "react-dom/client";
export { renderToString } from "react-dom/server";
export { createClient, subscribe } from "@switchboard/client";
export * as hooks from "@switchboard/client/react";
