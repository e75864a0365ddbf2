// Ids of messages.

/** A random UUID, or as much chance where `crypto.randomUUID` is missing, as on pages without HTTPS and in React Native. */
export function uuid(): string {
  const { crypto } = globalThis as { crypto?: { randomUUID?(): string } };
  return crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2)).join("");
}
