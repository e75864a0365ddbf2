// Where one is in the dashboard, as the fragment of its address: "#/rooms/lobby", "#/users?prefix=a". Pure.

// { parts, query }; undefined if it cannot be read.
export function readFragment(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  try {
    return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query)) };
  } catch {
    return undefined;
  }
}

export function fragment(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const search = given.length > 0 ? `?${new URLSearchParams(given)}` : "";
  return `#/${parts.map(encodeURIComponent).join("/")}${search}`;
}
