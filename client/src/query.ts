// What identifies a user, as a URL has it: for transports that have no other place for it.

export function queryOf(values: Record<string, unknown>): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(values)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null) parts.push(`${name}=${encodeURIComponent(String(each))}`);
    }
  }
  return parts.length > 0 ? `?${parts.join("&")}` : "";
}
