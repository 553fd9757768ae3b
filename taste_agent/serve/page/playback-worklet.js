// Plays what comes, and tells how far an answer was played: in samples of what was sent for it.

import { Resampler } from "/page/resampler.js";

const RATE_HZ = 24000;
const GATHER_SAMPLES = RATE_HZ * 0.1; // before an answer begins, and after it ran dry
const FADE_S = 0.01;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(RATE_HZ, sampleRate);
    this.ratio = sampleRate / RATE_HZ;
    this.begin(null);
    this.since = 0;
    this.power = 0;
    this.port.onmessage = ({ data }) => this.take(data);
  }

  begin(item) {
    this.item = item;
    this.sent = 0; // samples that came for this answer
    this.complete = false;
    this.empty();
  }

  empty() {
    this.queue = []; // at the context's rate
    this.queued = this.first = 0;
    this.flowing = false;
    this.gain = 0;
    this.resampler.reset();
  }

  take({ kind, item, samples }) {
    if (kind === "flush") {
      this.empty();
    } else if (kind === "complete") {
      this.complete = item === this.item;
    } else {
      if (item !== this.item) this.begin(item);
      this.sent += samples.length;
      const ready = this.resampler.push(samples);
      this.queue.push(ready);
      this.queued += ready.length;
    }
  }

  process(inputs, [output]) {
    const channel = output[0];
    if (!this.flowing) this.flowing = this.queued > 0 && (this.complete || this.queued >= GATHER_SAMPLES * this.ratio);
    for (let index = 0; index < channel.length; index++) {
      this.gain = Math.min(1, this.gain + 1 / (FADE_S * sampleRate));
      channel[index] = this.flowing && this.queued > 0 ? this.next() * this.gain : 0;
      this.power += channel[index] * channel[index];
    }
    if (this.queued === 0) this.flowing = false;
    if (!this.flowing) this.gain = 0;
    for (const other of output.slice(1)) other.set(channel);
    this.since += channel.length;
    if (this.since >= sampleRate * 0.03) this.tell();
    return true;
  }

  next() {
    const sample = this.queue[0][this.first++];
    this.queued--;
    if (this.first === this.queue[0].length) {
      this.queue.shift();
      this.first = 0;
      while (this.queue.length > 0 && this.queue[0].length === 0) this.queue.shift();
    }
    return sample;
  }

  tell() {
    const played_ms = ((this.sent - this.queued / this.ratio) / RATE_HZ) * 1000;
    const level = 10 * Math.log10(this.power / this.since + 1e-10);
    this.port.postMessage({ item: this.item, played_ms: Math.max(0, played_ms), level, sounding: this.flowing });
    this.since = this.power = 0;
  }
}

registerProcessor("playback", Playback);
