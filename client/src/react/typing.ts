// Who is typing, as a list and as a sentence in any language.

import type { RoomSnapshot, Room, Typing, Typist } from "../types.js";
import { actionsOf, useRoomPart } from "./rooms.js";

export interface TypingOptions {
  /** The language of `templates`, as BCP 47 names it. Without templates the sentence is English. */
  locale?: string | string[];
  /**
   * `{names}` and `{count}` are replaced. Default: `one: "{names} is typing"`, `other: "{names} are typing"`,
   * `several: "Several people are typing"`.
   */
  templates?: TypingTemplates;
  /** More typists than that are `several`. Default 3. */
  max?: number;
  /** Writes the sentence instead of the templates. */
  sentence?: (typists: readonly Typist[]) => string;
}

/** A template for each plural category that the language has (`Intl.PluralRules`), and one for more than `max`. */
export type TypingTemplates = { other: string; several?: string } & Partial<Record<Intl.LDMLPluralRule, string>>;

export interface TypingState extends Typing {
  /** Who else is typing. */
  typists: readonly Typist[];
  /** "Alice and Bob are typing"; empty if nobody is. */
  sentence: string;
}

const ENGLISH: TypingTemplates = {
  one: "{names} is typing",
  other: "{names} are typing",
  several: "Several people are typing",
};

/** Who else is typing in a room, and the functions that announce the own typing. */
export function useTyping(name: string, options: TypingOptions = {}): TypingState {
  const { typists, keystroke, stop } = useRoomPart(name, typingState);
  return { typists, sentence: typingSentence(typists, options), keystroke, stop };
}

const typingState = ({ typing }: RoomSnapshot<any>, room: Room<any>) => ({ typists: typing, ...actionsOf(room).typing });

/** The sentence of `useTyping`. */
export function typingSentence(typists: readonly Typist[], options: TypingOptions = {}): string {
  if (options.sentence) return options.sentence(typists);
  const count = typists.length;
  if (count === 0) return "";
  const { templates = ENGLISH, max = 3 } = options;
  const locale = options.templates ? options.locale : "en";
  const template = count > max && templates.several ? templates.several : (templates[category(locale, count)] ?? templates.other);
  // Functions, because a name may have a `$` that `replace` would interpret.
  return template.replace("{names}", () => list(locale, typists)).replace("{count}", () => String(count));
}

// React Native's engine lacks parts of Intl.
const category = (locale: string | string[] | undefined, count: number) =>
  Intl.PluralRules ? new Intl.PluralRules(locale).select(count) : count === 1 ? "one" : "other";

function list(locale: string | string[] | undefined, typists: readonly Typist[]): string {
  const names = typists.map(({ user, name }) => name ?? user);
  return Intl.ListFormat ? new Intl.ListFormat(locale, { type: "conjunction" }).format(names) : names.join(", ");
}
