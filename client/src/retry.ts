/* When to try again: exponential, with full jitter, so that those who were cut off together come back spread out
 * (Brooker, "Exponential Backoff And Jitter", 2015). */
import type { Env, Timer } from './env.js';

const FIRST_MS = 1000;
const MOST_MS = 30000;
const LEAST_MS = 100;

export class Retry {
  /** Failures in a row. */
  attempt = 0;
  private timer: Timer;
  private act: (() => void) | undefined;

  constructor(private readonly env: Env) {}

  /** Call act after a pause; `least` milliseconds of it at least. Takes the place of what was planned before. */
  plan(act: () => void, least = LEAST_MS): void {
    this.cancel();
    const most = Math.min(MOST_MS, FIRST_MS * 2 ** this.attempt++);
    this.act = act;
    this.timer = this.env.setTimeout(() => this.now(), least + this.env.random() * most);
  }

  /** What is planned is done at once. */
  now(): void {
    const { act } = this;
    this.cancel();
    act?.();
  }

  cancel(): void {
    this.env.clearTimeout(this.timer);
    this.act = undefined;
  }

  reset(): void {
    this.attempt = 0;
  }
}
