// The Realtime protocol over a WebSocket.

const RETRIES = 5;

const toBase64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;

export class Connection {
  // `onEvent` takes the server's events, `onClose` the code with which the connection ended.
  constructor({ token, session, onEvent, onClose }) {
    Object.assign(this, { token, session, onEvent, onClose });
    this.tries = 0;
    this.closed = false;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const protocols = ["realtime"];
    if (this.token) protocols.push(`openai-insecure-api-key.${this.token}`);
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/realtime`, protocols);
    this.ready = false;
    this.full = false;
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.ended(code);
  }

  take(event) {
    if (event.type === "session.created") this.send("session.update", { session: this.session });
    if (event.type === "session.updated") this.ready = true;
    if (event.type === "error" && event.error.code === "session_limit_exceeded") this.full = true;
    if (event.type === "response.output_audio.delta") event.sound = fromBase64(event.delta);
    if (!(this.full && this.tries < RETRIES)) this.onEvent(event);
  }

  // A place that has just become free is not free yet: a few tries.
  ended(code) {
    if (this.full && this.tries < RETRIES && !this.closed) {
      this.tries++;
      setTimeout(() => this.closed || this.open(), 1000);
    } else if (!this.closed) {
      this.onClose(code, this.ready);
    }
  }

  send(type, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  append(chunk) {
    if (this.ready) this.send("input_audio_buffer.append", { audio: toBase64(chunk) });
  }

  type(text) {
    const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
    this.send("conversation.item.create", { item });
    this.send("response.create");
  }

  close() {
    this.closed = true;
    this.socket.close(1000);
  }
}
