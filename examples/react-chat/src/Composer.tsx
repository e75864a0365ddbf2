// Where you write. The list has your message at once; a failed one can be sent again there.

import { type FormEvent, type KeyboardEvent, useState } from "react";
import { useRoom, useTyping } from "./realtime";

export function Composer({ room }: { room: string }) {
  const { send, typing } = useRoom(room);
  const [text, setText] = useState("");
  const submit = (event: FormEvent | KeyboardEvent) => {
    event.preventDefault();
    if (text.trim()) void send({ text: text.trim() });
    setText("");
  };
  return (
    <form className="composer" onSubmit={submit}>
      <TypingLine room={room} />
      <textarea
        aria-label={`Message to ${room}`}
        placeholder={`Message #${room}`}
        rows={1}
        maxLength={4000}
        autoFocus
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          typing.keystroke();
        }}
        onBlur={typing.stop}
        onKeyDown={(event) => {
          // Enter also ends the composition of a word, in Japanese for one.
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) submit(event);
        }}
      />
      <button className="primary" disabled={!text.trim()}>
        Send
      </button>
    </form>
  );
}

// A component of its own: the composer does not render when somebody types.
function TypingLine({ room }: { room: string }) {
  const { sentence } = useTyping(room);
  return (
    <p className="typing" aria-live="polite">
      {sentence && <span className="dots" aria-hidden="true" />}
      {sentence}
    </p>
  );
}
