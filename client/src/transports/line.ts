/* What reading by HTTP needs, whatever comes: requests with the token, a limit of silence, and one end. */
import { workerUrl } from '../dispatcher.js';
import type { Env, Timer } from '../env.js';
import type { Down, ReadOn, ReadRequest } from './transport.js';

export class Line {
  over = false;
  private readonly ended = new AbortController();
  private timer: Timer;
  private due = 0;
  private pausing: Timer;

  constructor(private readonly env: Env, private readonly request: ReadRequest, private readonly on: ReadOn) {}

  fetch(path: string): Promise<Response> {
    const { host, token } = this.request;
    return this.env.fetch(workerUrl(this.env, host, path, 'http'), {
      cache: 'no-store',
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: this.ended.signal,
    });
  }

  /** Down after so many milliseconds, unless wait() is called again before. */
  wait(ms: number, reason: string): void {
    this.env.clearTimeout(this.timer);
    this.due = this.env.now() + ms;
    this.timer = this.env.setTimeout(() => this.down({ code: 1006, reason }), ms);
  }

  /** The same, but what is due earlier stays so, however often it is called. */
  waitLess(ms: number, reason: string): void {
    if (this.env.now() + ms < this.due)
      this.wait(ms, reason);
  }

  /** Never ends if the line does before. */
  pause(ms: number): Promise<void> {
    return new Promise((done) => { this.pausing = this.env.setTimeout(done, ms); });
  }

  finish(): void {
    this.over = true;
    this.env.clearTimeout(this.timer);
    this.env.clearTimeout(this.pausing);
    this.ended.abort();
  }

  down(how: Down): void {
    if (this.over)
      return;
    this.finish();
    this.on.down(how);
  }
}
