// The conversation on the screen: what was said, and the agent's words, which light up as they are heard.

import { say } from "/page/texts.js";

export class Talk {
  constructor(element) {
    this.element = element;
    this.turns = new Map(); // by item: {role, paragraph, text, words, at}
  }

  turn(item, role) {
    if (this.turns.has(item)) return this.turns.get(item);
    const paragraph = document.createElement("p");
    paragraph.className = role;
    const who = document.createElement("span");
    who.className = "who";
    who.dataset.text = role === "user" ? "you" : "agent";
    who.textContent = say(who.dataset.text);
    const text = document.createElement("span");
    paragraph.append(who, " ", text);
    this.element.append(paragraph);
    const turn = { role, paragraph, text, words: [], at: new Date() };
    this.turns.set(item, turn);
    this.follow();
    return turn;
  }

  // What the person says, as far as it is sure; `final` where it is complete.
  hear(item, text, final) {
    const turn = this.turn(item, "user");
    turn.text.textContent = final ? text : turn.text.textContent + text;
    turn.text.className = final ? "" : "unsure";
    this.follow();
  }

  forget(item) {
    this.turns.get(item)?.paragraph.remove();
    this.turns.delete(item);
  }

  // Words that the agent is about to say.
  announce(item, text) {
    const turn = this.turn(item, "agent");
    for (const word of text.split(/\s+/).filter(Boolean)) {
      const span = document.createElement("span");
      span.className = "word";
      span.textContent = word;
      turn.text.append(span, " ");
      turn.words.push({ span, end_ms: Infinity });
    }
    this.follow();
  }

  // The word with this index ends there in the answer's sound.
  time(item, index, end_ms) {
    const word = this.turns.get(item)?.words[index];
    if (word) word.end_ms = end_ms;
  }

  // The answer was played so far.
  light(item, played_ms) {
    for (const word of this.turns.get(item)?.words ?? []) {
      if (word.end_ms <= played_ms + 1) word.span.classList.add("heard");
    }
  }

  // The answer is over: what was not heard of it is struck through.
  cut(item, played_ms) {
    this.light(item, played_ms);
    for (const word of this.turns.get(item)?.words ?? []) {
      if (!word.span.classList.contains("heard")) word.span.classList.add("cut");
    }
  }

  follow() {
    this.element.scrollTop = this.element.scrollHeight;
  }

  get transcript() {
    const lines = [...this.turns.values()].map((turn) => {
      const words = turn.words.map(({ span }) => (span.classList.contains("cut") ? `[${span.textContent}]` : span.textContent));
      const text = turn.role === "user" ? turn.text.textContent : words.join(" ");
      return `${turn.at.toTimeString().slice(0, 8)} ${say(turn.role === "user" ? "you" : "agent")}: ${text}`;
    });
    return `${lines.join("\n")}\n`;
  }
}
