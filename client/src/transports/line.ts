/* What reading by HTTP needs, whatever comes: requests with the token, a limit of silence, and one end. */
import { workerUrl } from '../dispatcher.js';
import type { Env, Timer } from '../env.js';
import type { Down, ReadOn, ReadRequest } from './transport.js';

export class Line {
  over = false;
  private readonly ended = new AbortController();
  private timer: Timer;

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
    this.timer = this.env.setTimeout(() => this.down({ code: 1006, reason }), ms);
  }

  finish(): void {
    this.over = true;
    this.env.clearTimeout(this.timer);
    this.ended.abort();
  }

  down(how: Down): void {
    if (this.over)
      return;
    this.finish();
    this.on.down(how);
  }
}
