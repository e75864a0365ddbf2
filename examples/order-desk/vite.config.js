// Vite with React; `npm start` says where the server is in VITE_SWITCHBOARD_URL.

import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({ plugins: [react()], clearScreen: false });
