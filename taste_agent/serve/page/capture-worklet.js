// The microphone as 16-bit chunks at the protocol's rate.

import { Resampler } from "/page/resampler.js";

const RATE_HZ = 24000;
const CHUNK_SAMPLES = RATE_HZ * 0.04;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE_HZ);
    this.chunk = new Int16Array(CHUNK_SAMPLES);
    this.filled = 0;
    this.power = 0;
    this.muted = false;
    this.port.onmessage = ({ data }) => { this.muted = data.muted; };
  }

  process([input]) {
    if (input.length === 0) return true;
    for (const sample of this.resampler.push(input[0])) {
      const heard = this.muted ? 0 : Math.max(-1, Math.min(1, sample));
      this.power += heard * heard;
      this.chunk[this.filled++] = Math.round(heard * 32767);
      if (this.filled === CHUNK_SAMPLES) this.post();
    }
    return true;
  }

  post() {
    const level = 10 * Math.log10(this.power / CHUNK_SAMPLES + 1e-10);
    this.port.postMessage({ chunk: this.chunk.buffer, level }, [this.chunk.buffer]);
    this.chunk = new Int16Array(CHUNK_SAMPLES);
    this.filled = this.power = 0;
  }
}

registerProcessor("capture", Capture);
