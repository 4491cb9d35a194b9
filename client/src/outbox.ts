/* Messages said and not answered, oldest first. Each has a client id: to send one again is no second message. */
import { type Env, randomId, type Timer } from './env.js';
import { ChatUpError } from './error.js';
import type { SayReply } from './types.js';

const MOST = 1000;
const FRAME_BYTES = 64 * 1024 - 512; /* a bigger frame closes the socket */

export interface Say {
  readonly text: string;
  readonly cid: string;
  /** When it was sent, the last time; 0: not yet. */
  sentAt: number;
  readonly resolve: (reply: SayReply) => void;
  readonly reject: (error: ChatUpError) => void;
  readonly timer: Timer;
}

export class Outbox {
  private says: Say[] = [];

  constructor(private readonly env: Env, private readonly timeout: number) {}

  get all(): readonly Say[] {
    return this.says;
  }

  add(text: string, onAdded: (say: Say) => void): Promise<SayReply> {
    return new Promise((resolve, reject) => {
      if (new TextEncoder().encode(JSON.stringify(text)).length > FRAME_BYTES) {
        reject(new ChatUpError('messageTooLong'));
        return;
      }
      if (this.says.length >= MOST) {
        reject(new ChatUpError('tooManyWaiting'));
        return;
      }
      const timer = this.env.setTimeout(
        () => this.reject(say, new ChatUpError('timeout', { sent: say.sentAt > 0 })), this.timeout);
      const say: Say = { text, cid: randomId(), sentAt: 0, resolve, reject, timer };
      this.says.push(say);
      onAdded(say);
    });
  }

  has(say: Say): boolean {
    return this.says.includes(say);
  }

  private take(say: Say): boolean {
    const had = this.has(say);
    this.env.clearTimeout(say.timer);
    this.says = this.says.filter((other) => other !== say);
    return had;
  }

  resolve(say: Say, reply: SayReply): void {
    if (this.take(say))
      say.resolve(reply);
  }

  reject(say: Say, error: ChatUpError): void {
    if (this.take(say))
      say.reject(error);
  }

  rejectAll(error: ChatUpError, which: (say: Say) => boolean = () => true): void {
    for (const say of this.says.filter(which))
      this.reject(say, error);
  }
}
