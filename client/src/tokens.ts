/* The token of whoever speaks: `conf.jwt`, or what `conf.getToken` gives. One that the server took no more is not used
 * again; a getToken that fails is asked again later, as sites are away now and then. */
import type { Env, Timer } from './env.js';
import { ChatUpError } from './error.js';
import type { Conf } from './types.js';

const LEAST_S = 1;

export class Tokens {
  private refused: string | undefined;
  private asking: Promise<string> | undefined;
  private timer: Timer;
  private endsAt = 0;
  private forgotten = 0; /* counts forget(): what was asked for before is of somebody who has left */

  /** onFresh: the server may be told of another token, before the present one ends. */
  constructor(private readonly env: Env, private readonly conf: Conf, private readonly onFresh: (token: string) => void,
              private readonly onError: (error: Error) => void) {}

  /** The one to use; undefined: none, for now at least. */
  get current(): string | undefined {
    return this.conf.jwt === this.refused ? undefined : this.conf.jwt;
  }

  get isPossible(): boolean {
    return this.current !== undefined || this.conf.getToken !== undefined;
  }

  /** The server takes that one no more. */
  refuse(token: string | undefined): void {
    this.refused = token;
  }

  /** Try all of them again. */
  forgive(): void {
    this.refused = undefined;
  }

  forget(): void {
    this.conf.jwt = this.refused = this.asking = undefined;
    this.forgotten++;
    this.stop();
  }

  stop(): void {
    this.env.clearTimeout(this.timer);
    this.endsAt = 0;
  }

  /** Rejects with `notAuthenticated` if there is none to be had, with `tokenUnavailable` if there is none just now. */
  async get(): Promise<string> {
    const { current, conf } = this;
    if (current !== undefined)
      return current;
    if (!conf.getToken)
      throw new ChatUpError(conf.jwt === undefined ? 'notAuthenticated' : 'authError');
    const token = await this.ask();
    if (token === this.refused)
      throw new ChatUpError('authError');
    return token;
  }

  /* Reader and publisher may want one at the same moment: one question. */
  private ask(): Promise<string> {
    if (this.asking)
      return this.asking;
    const { forgotten } = this;
    const asking = this.asking = (async () => {
      try {
        const token = await this.conf.getToken!();
        if (typeof token !== 'string' || !token)
          throw new Error('getToken gave no token');
        if (forgotten === this.forgotten)
          this.conf.jwt = token;
        return token;
      } catch (error) {
        this.onError(error instanceof Error ? error : new Error(String(error)));
        throw new ChatUpError('tokenUnavailable', { reason: String(error) });
      }
    })().finally(() => { /* later, also if getToken throws at once */
      if (this.asking === asking)
        this.asking = undefined;
    });
    return asking;
  }

  /** The present one ends in so many seconds: halfway there another one is asked for, and again if that fails. */
  onExpires(seconds: number): void {
    if (!this.conf.getToken)
      return;
    const endsAt = this.env.now() + seconds * 1000;
    if (this.endsAt && Math.abs(this.endsAt - endsAt) < 2000)
      return; /* reader and publisher are both told */
    this.stop();
    this.endsAt = endsAt;
    this.plan();
  }

  private plan(): void {
    const leftMs = this.endsAt - this.env.now();
    if (leftMs < LEAST_S * 1000)
      return; /* the server ends it, and then another one is asked for */
    this.timer = this.env.setTimeout(() => {
      const before = this.conf.jwt;
      this.ask().then((token) => {
        if (token === before) {
          this.plan();
          return;
        }
        if (token !== this.conf.jwt)
          return; /* it was forgotten */
        this.endsAt = 0;
        this.onFresh(token);
      }, () => this.plan());
    }, leftMs / 2);
  }
}
