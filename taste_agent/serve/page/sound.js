// Microphone and loudspeaker of the browser, which cancels the echo.

export class Sound {
  // `onChunk` takes 16-bit chunks of the microphone, `onLevels` the levels in dB, `onPlayed` how far an answer went.
  constructor({ onChunk, onLevels, onPlayed }) {
    Object.assign(this, { onChunk, onLevels, onPlayed });
    this.input = -60;
    this.output = -60;
  }

  // Opens the loudspeaker; the page must have been clicked.
  async open() {
    this.context = new AudioContext({ latencyHint: "interactive" });
    await Promise.all(["capture", "playback"].map((name) => this.context.audioWorklet.addModule(`/page/${name}-worklet.js`)));
    this.playback = new AudioWorkletNode(this.context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    this.playback.port.onmessage = ({ data }) => {
      this.output = data.level;
      this.onLevels(this.input, this.output);
      this.onPlayed(data);
    };
    this.playback.connect(this.context.destination);
    await this.context.resume();
  }

  // Opens the microphone; throws what the browser says where there is none.
  async listen() {
    if (!navigator.mediaDevices) throw new DOMException("", "InsecureContext");
    const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    this.capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.capture.port.onmessage = ({ data }) => {
      this.input = data.level;
      this.onChunk(data.chunk);
    };
    this.context.createMediaStreamSource(this.stream).connect(this.capture);
  }

  mute(muted) {
    this.capture?.port.postMessage({ muted });
  }

  play(item, bytes) {
    const samples = Float32Array.from(new Int16Array(bytes), (sample) => sample / 32768);
    this.playback.port.postMessage({ kind: "sound", item, samples }, [samples.buffer]);
  }

  // No more will come for this answer.
  complete(item) {
    this.playback.port.postMessage({ kind: "complete", item });
  }

  // What was not played yet is not played.
  flush() {
    this.playback.port.postMessage({ kind: "flush" });
  }

  // How long a sample takes from the page to the ear, as far as the browser knows.
  get latency_ms() {
    return 1000 * ((this.context.outputLatency || 0) + (this.context.baseLatency || 0));
  }

  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.onLevels(-60, -60);
  }
}
