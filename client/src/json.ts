// The JSON text of an application's data, and its size.

import { SwitchboardError } from "./errors.js";

/** The text; fails with `bad_request` for what JSON does not have, such as a function or a circle. */
export function textOf(data: unknown): string {
  try {
    return JSON.stringify(data).toString();
  } catch (error) {
    throw new SwitchboardError("bad_request", `data: ${error}`);
  }
}

/** Whether a text has more bytes in UTF-8. TextEncoder is not everywhere, and counting is for texts near the limit. */
export const exceeds = (text: string, bytes: number) => text.length * 3 > bytes && encodeURIComponent(text).replace(/%../g, "1").length > bytes;
