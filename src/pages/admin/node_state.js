// What is to be said of a node. Pure.

// Why somebody should look at it; nothing if all is well.
export function problemsOf({ ready, not_ready: reason, draining }) {
  if (draining) return ["is draining"];
  return ready ? [] : [reason ? `is not ready: ${reason}` : "is not ready"];
}

export function stateOf(node) {
  if (node.draining) return { kind: "draining", text: "Draining" };
  return node.ready ? { kind: "ready", text: "Ready" } : { kind: "failing", text: "Not ready" };
}
