// A user's initial, in a colour that is the same everywhere.

import type { CSSProperties } from "react";

export function Avatar({ user }: { user: string }) {
  let hash = 0;
  for (const letter of user) hash = (hash * 31 + letter.codePointAt(0)!) % 9973;
  return (
    <span className="avatar" style={{ "--hue": (hash * 137) % 360 } as CSSProperties} aria-hidden="true">
      {[...user][0].toUpperCase()}
    </span>
  );
}
