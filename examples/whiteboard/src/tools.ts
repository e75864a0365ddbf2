// The toolbar: colours, widths, undo, clear.

const COLOURS = { Ink: "#1d2433", Blue: "#2563eb", Green: "#16855b", Amber: "#e08a00", Red: "#d6336c", Violet: "#7c3aed" };
const WIDTHS = { Thin: 4, Medium: 8, Thick: 18 };
const ICONS = {
  Undo: "M9 6 4 11l5 5M4 11h10a5 5 0 0 1 0 10h-3",
  Clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
};

export interface Tools {
  colour: string;
  width: number;
  setCanUndo(can: boolean): void;
}

export function showTools(bar: HTMLElement, undo: () => void, clear: () => void): Tools {
  const tools = { colour: COLOURS.Ink, width: WIDTHS.Medium };
  const colours = Object.entries(COLOURS).map(([name, colour]) =>
    choice("colour", name, colour === tools.colour, colour, () => (tools.colour = colour)),
  );
  const widths = Object.entries(WIDTHS).map(([name, width]) =>
    choice("width", name, width === tools.width, `${3 + width}px`, () => (tools.width = width)),
  );
  const undoing = action("Undo", undo);
  bar.append(group("Colour", colours), group("Width", widths), group("Board", [undoing, action("Clear", clear)]));
  return Object.assign(tools, { setCanUndo: (can: boolean) => (undoing.disabled = !can) });
}

function group(name: string, children: HTMLElement[]) {
  const element = document.createElement("div");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", name);
  element.append(...children);
  return element;
}

// One button of several, of which one is pressed. The style sheet knows its value as a property of the same name as its kind.
function choice(kind: string, name: string, pressed: boolean, value: string, choose: () => void) {
  const button = buttonOf(kind, name);
  button.style.setProperty(`--${kind}`, value);
  button.setAttribute("aria-pressed", String(pressed));
  button.addEventListener("click", () => {
    for (const other of button.parentElement!.children) other.setAttribute("aria-pressed", String(other === button));
    choose();
  });
  return button;
}

function action(name: keyof typeof ICONS, act: () => void) {
  const button = buttonOf("action", name);
  button.innerHTML = `<svg viewBox="0 0 24 24"><path d="${ICONS[name]}"/></svg>`;
  button.addEventListener("click", act);
  return button;
}

function buttonOf(kind: string, name: string) {
  const button = Object.assign(document.createElement("button"), { className: kind, title: name, type: "button" });
  button.setAttribute("aria-label", name);
  return button;
}
