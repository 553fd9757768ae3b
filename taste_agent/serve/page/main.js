// The page: buttons, state, and what the server's events do to them.

import { Connection } from "/page/connection.js";
import { Sound } from "/page/sound.js";
import { Talk } from "/page/talk.js";
import { say, showTexts, switchLanguage } from "/page/texts.js";

const element = (id) => document.getElementById(id);
const talk = new Talk(element("talk"));

let connection = null;
let sound = null;
let state = "idle";
let muted = false;
let response = null; // the one in progress: {item, done}
let played = { item: null, played_ms: 0 };
let latency = null; // of the last answer: {waited_ms, silence_ms, computing_ms, came_ms, buffer_ms}

function show(next) {
  state = next;
  const shown = muted && next === "listening" ? "muted" : next;
  element("state").dataset.state = shown;
  element("state").textContent = say(shown);
}

function problem(text) {
  element("problem").textContent = text;
}

function enable(on) {
  element("start").dataset.text = on ? "stop" : "start";
  element("start").textContent = say(element("start").dataset.text);
  for (const part of ["mute", "text"]) element(part).disabled = !on;
  element("typing").querySelector("button").disabled = !on;
  element("voice").disabled = on;
  element("interrupt").disabled = true;
}

async function start() {
  problem("");
  show("connecting");
  enable(true);
  sound = new Sound({ onChunk: (chunk) => connection?.append(chunk), onLevels: showLevels, onPlayed: follow });
  await sound.open();
  try {
    await sound.listen();
  } catch (error) {
    const texts = { NotAllowedError: "denied", InsecureContext: "insecure" };
    problem(say(texts[error.name] ?? "noMicrophone"));
    element("mute").disabled = true;
  }
  const voice = element("voice").value;
  connection = new Connection({
    token: element("token").value,
    session: {
      type: "realtime",
      include: ["taste.words", "taste.latency"],
      ...(voice ? { audio: { output: { voice } } } : {}),
    },
    onEvent: take,
    onClose: closed,
  });
}

function stop() {
  connection?.close();
  sound?.close();
  connection = sound = response = null;
  setMuted(false);
  enable(false);
  show("idle");
}

function closed(code, wasReady) {
  stop();
  if (!wasReady && code === 1006) {
    element("token-row").hidden = false;
    problem(say("unauthorized"));
  } else if (!element("problem").textContent) {
    problem(say("lost"));
  }
}

function showLevels(input, output) {
  element("input-level").value = input;
  element("output-level").value = output;
}

// The loudspeaker has played so far.
function follow({ item, played_ms, sounding }) {
  played = { item, played_ms };
  if (item) talk.light(item, played_ms);
  if (sounding && latency?.came_ms && !latency.buffer_ms) {
    latency.buffer_ms = performance.now() - latency.came_ms + sound.latency_ms;
    showLatency();
  }
  if (response?.done && !sounding) response = null;
  if (!response && state === "speaking") show("listening");
  element("interrupt").disabled = !response;
}

// Only what was played was heard: the agent remembers no more.
function cut(item, sent) {
  sound.flush();
  if (!sent || played.item !== item) return;
  connection.send("conversation.item.truncate", {
    item_id: item, content_index: 0, audio_end_ms: Math.floor(played.played_ms),
  });
}

function interrupt() {
  if (!response || !connection) return;
  if (response.done) {
    cut(response.item, true);
    talk.cut(response.item, played.played_ms);
    response = null;
  } else {
    sound.flush();
    connection.send("response.cancel");
  }
}

const handlers = {
  "session.updated": () => show("listening"),
  "input_audio_buffer.speech_started": () => {
    sound.flush();
    show("hearing");
  },
  "input_audio_buffer.speech_stopped": () => show(response ? "speaking" : "listening"),
  "input_audio_buffer.committed": () => show("thinking"),
  "conversation.item.added": ({ item }) => {
    if (item.role === "user" && item.content[0]?.type === "input_text") talk.hear(item.id, item.content[0].text, true);
  },
  "conversation.item.deleted": ({ item_id }) => talk.forget(item_id),
  "conversation.item.input_audio_transcription.delta": ({ item_id, delta }) => talk.hear(item_id, delta, false),
  "conversation.item.input_audio_transcription.completed": ({ item_id, transcript }) => talk.hear(item_id, transcript, true),
  "response.created": () => show("thinking"),
  "response.output_item.added": ({ item }) => {
    response = { item: item.id, done: false };
  },
  "response.output_audio_transcript.delta": ({ item_id, delta }) => talk.announce(item_id, delta),
  "response.output_audio.delta": ({ item_id, sound: bytes }) => {
    sound.play(item_id, bytes);
    if (latency) latency.came_ms ??= performance.now();
    if (state !== "hearing") show("speaking");
  },
  "taste.word": ({ item_id, index, audio_end_ms }) => talk.time(item_id, index, audio_end_ms),
  "taste.latency": (event) => {
    latency = event;
  },
  "response.done": ({ response: { status, output } }) => {
    const item = output[0]?.id;
    if (status === "completed" || status === "incomplete") {
      if (response) response.done = true;
      if (item) sound.complete(item);
      else show("listening");
      return;
    }
    if (item) {
      cut(item, true);
      talk.cut(item, played.item === item ? played.played_ms : 0);
    }
    response = null;
    if (state !== "hearing") show("listening");
  },
  error: ({ error }) => {
    if (error.code !== "response_cancel_not_active") problem(error.message);
  },
};

function take(event) {
  handlers[event.type]?.(event);
  element("save").disabled = talk.turns.size === 0;
}

function showLatency() {
  if (!latency?.buffer_ms) return;
  const { waited_ms, silence_ms, computing_ms, buffer_ms } = latency;
  const seconds = (ms) => (ms / 1000).toFixed(2);
  const parts = [["silence", silence_ms], ["computing", computing_ms], ["buffer", buffer_ms]];
  const shown = parts.map(([name, ms]) => `${say(name)} ${seconds(ms)}`).join(", ");
  element("latency").textContent = say("waited")(seconds(waited_ms + buffer_ms), shown);
}

function setMuted(on) {
  muted = on;
  sound?.mute(on);
  element("mute").setAttribute("aria-pressed", String(on));
  show(state);
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([talk.transcript], { type: "text/plain" }));
  link.download = "transcript.txt";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function showVoices() {
  const { voices } = await (await fetch("/voices")).json();
  for (const voice of voices) element("voice").add(new Option(voice, voice));
}

element("start").onclick = () => (connection || sound ? stop() : start().catch((error) => { stop(); problem(error.message); }));
element("mute").onclick = () => setMuted(!muted);
element("interrupt").onclick = interrupt;
element("save").onclick = save;
element("language").onclick = () => {
  switchLanguage();
  showTexts();
  show(state);
  showLatency();
};
element("typing").onsubmit = (event) => {
  event.preventDefault();
  const text = element("text").value.trim();
  if (!text || !connection) return;
  if (response) interrupt();
  connection.type(text);
  element("text").value = "";
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") interrupt();
});
addEventListener("pagehide", () => connection?.close());

showTexts();
show("idle");
showVoices().catch(() => {});
