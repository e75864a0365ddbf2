// Makes and updates elements. Whatever comes from the network becomes text, never HTML.

export const byId = (id) => document.getElementById(id);

// An element with properties (or attributes, where there is no such property) and children; strings become text.
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Sets the text if it is another one, so that a selection and a screen reader are not disturbed.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Makes the children of `parent` those of `items`, which have a `key` each. Elements that stay are not moved: they keep focus and animation.
export function sync(parent, items, create, update = () => {}) {
  const keys = new Set(items.map(({ key }) => key));
  const kept = new Map();
  for (const node of [...parent.children]) {
    if (keys.has(node.key)) kept.set(node.key, node);
    else node.remove();
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const node = kept.get(item.key) ?? Object.assign(create(item), { key: item.key });
    update(node, item);
    if (node === next) next = next.nextElementSibling;
    else parent.insertBefore(node, next);
  }
}

// A user's initial, in a colour that is the same everywhere.
export function avatar(user) {
  const [first] = new Intl.Segmenter().segment(user);
  const node = make("span", { className: "avatar", "aria-hidden": "true" }, first.segment.toUpperCase());
  const hash = [...user].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 9973, 0);
  node.style.setProperty("--hue", (hash * 137) % 360);
  return node;
}

// A name that may be written from right to left, in a sentence that is not.
export const bdi = (text) => make("bdi", {}, text);

export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// A button that copies the text of `source`. Pages without TLS may not write to the clipboard: there the text is selected.
export function copyButton(source) {
  const button = make("button", { type: "button", className: "copy" }, "Copy");
  button.onclick = async () => {
    const copied = await navigator.clipboard?.writeText(source.textContent).then(() => true, () => false);
    if (!copied) getSelection().selectAllChildren(source);
    button.textContent = copied ? "Copied" : "Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  return button;
}
