// Vite needs to know nothing of Switchboard. `dedupe` is for the link to ../../client, which has a React of its own for its tests, and the
// screen is not cleared because the server's process is on it.

import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  resolve: { dedupe: ["react", "react-dom", "socket.io-client"] },
  clearScreen: false,
});
