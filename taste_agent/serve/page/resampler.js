// Sample-rate conversion of a stream by a windowed sinc: sound goes through with a delay of a few samples.

const ZEROS = 8; // of the sinc on each side
const STEPS = 256; // of the table between two zeros

const table = Float32Array.from({ length: ZEROS * STEPS + 2 }, (_, index) => {
  const x = index / STEPS;
  if (x >= ZEROS) return 0;
  const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / ZEROS);
  return x === 0 ? 1 : (window * Math.sin(Math.PI * x)) / (Math.PI * x);
});

export class Resampler {
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz; // input samples for each output sample
    this.cutoff = Math.min(1, toHz / fromHz);
    this.reach = Math.ceil(ZEROS / this.cutoff);
    this.reset();
  }

  reset() {
    this.input = new Float32Array(this.reach);
    this.position = this.reach; // of the next output sample, in `input`
  }

  // Converts the next samples; returns what is ready.
  push(samples) {
    const input = new Float32Array(this.input.length + samples.length);
    input.set(this.input);
    input.set(samples, this.input.length);
    const count = Math.max(0, Math.floor((input.length - this.reach - 1 - this.position) / this.step) + 1);
    const output = new Float32Array(count);
    for (let index = 0; index < count; index++) {
      output[index] = this.at(input, this.position + index * this.step);
    }
    this.position += count * this.step;
    const used = Math.max(0, Math.floor(this.position) - this.reach);
    this.input = input.slice(used);
    this.position -= used;
    return output;
  }

  at(input, position) {
    const first = Math.ceil(position - this.reach);
    const last = Math.floor(position + this.reach);
    let sum = 0;
    for (let index = Math.max(0, first); index <= Math.min(input.length - 1, last); index++) {
      const place = Math.abs(index - position) * this.cutoff * STEPS;
      const whole = Math.floor(place);
      if (whole > ZEROS * STEPS) continue;
      sum += input[index] * (table[whole] + (place - whole) * (table[whole + 1] - table[whole]));
    }
    return sum * this.cutoff;
  }
}
