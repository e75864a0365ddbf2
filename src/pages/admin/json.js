// JSON as text, as it was written. Pure.

const canKeepNumbers = typeof JSON.rawJSON === "function";

// Numbers of more digits than JavaScript's have stay as they were written, where the browser can do that.
export const parseExactly = (text) => (canKeepNumbers && /\d{16}/.test(text) ? JSON.parse(text, keepNumber) : JSON.parse(text));

const keepNumber = (_, value, { source }) => (typeof value === "number" && source !== String(value) ? JSON.rawJSON(source) : value);

// The JSON of what somebody typed: `{ "text": … }`, as the page at / sends it, or JSON, which is checked and otherwise left as it is.
export function typedJson(text, isJson) {
  if (!isJson) return JSON.stringify({ text });
  JSON.parse(text);
  return text;
}
