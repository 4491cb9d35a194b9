/* Reading: keeps one transport open, and the position in each channel. What failed decides what is tried next:
 *   never worked here: the next transport, at once; after the last one another worker, and the first again
 *   has worked:        the same again after a pause, after two failures on another worker, after three the next transport
 *   works, but not for long, three times in a row: the next transport (something on the way cuts it)
 * With a lesser transport, the best is tried again after five minutes, and when the network has changed. */
import type { Joined } from './dispatcher.js';
import type { Env, Timer } from './env.js';
import { ChatUpError } from './error.js';
import { Retry } from './retry.js';
import type { Transport } from './types.js';
import type { FailedAs } from './workers.js';
import { openEvents } from './transports/events.js';
import { openPolling } from './transports/polling.js';
import { openWebSocket } from './transports/websocket.js';
import type { Down, Frame, OpenTransport, ReadOn, ReadTransport } from './transports/transport.js';

const STEADY_MS = 10000;
const SHORT_LIVES = 3;
const FAILURES = 3;
const TRY_BETTER_MS = 5 * 60 * 1000;
const KICKED_MS = 5000;

const OPEN: Record<Transport, OpenTransport> =
  { websocket: openWebSocket, eventsource: openEvents, longpolling: openPolling };

export type ReaderState = 'connecting' | 'open' | 'lost' | 'stopped';

/** What a reader needs of the protocol. */
export interface ReaderHost {
  findWorker(): Promise<Joined>;
  leaveWorker(worker: Joined, as: FailedAs): void;
  /** The one to read with; undefined: as a guest. */
  token(): string | undefined;
  /** The server takes that token no more. Resolves when there is another, or none. */
  replaceToken(token: string | undefined): Promise<void>;
  /** Up to which offset it was told: all of it, unless a handler closed it. */
  onFrame(frame: Frame, isFirst: boolean): number | undefined;
  onState(state: ReaderState): void;
  onTransport(transport: Transport): void;
  onExpires(seconds: number): void;
  onKicked(): void;
  /** It failed, and will go on: told, so that somebody can read it. */
  onError(error: ChatUpError): void;
  /** It failed for good. */
  onRefused(error: ChatUpError): void;
}

export class Reader {
  state: ReaderState = 'stopped';
  private readonly positions = new Map<string, { epoch: string; offset: number }>();
  private readonly retry: Retry;
  private line: ReadTransport | undefined;
  private dialled = 0; /* counts attempts, so that an outdated one notices */
  private way = 0; /* index of transports */
  private betterTimer: Timer;
  private readonly worked = new Set<Transport>();
  private failures = 0;
  private shortLives = 0;
  private lineToken: string | undefined;
  private onlyRoom = false; /* the additional channels were refused, with that token */

  constructor(private readonly env: Env, private readonly room: string, private readonly additional: string[],
              private readonly transports: Transport[], private readonly timeout: number,
              private readonly host: ReaderHost) {
    this.retry = new Retry(env);
  }

  get transport(): Transport {
    return this.transports[this.way]!;
  }

  /** Where the room's history, as /join told it, ends. */
  begin(epoch: string, offset: number): void {
    if (!this.positions.has(this.room) && epoch)
      this.positions.set(this.room, { epoch, offset });
  }

  start(): void {
    if (this.state === 'stopped')
      this.restart();
  }

  /** Anew, such as with another token; from where it is. */
  restart(): void {
    this.hangUp();
    this.retry.reset();
    this.dial();
  }

  /** With the present token it may read what it was refused before. */
  get isOutdated(): boolean {
    return this.lineToken !== this.host.token() && (this.state === 'stopped' || this.onlyRoom);
  }

  stop(): void {
    this.hangUp();
    this.become('stopped');
  }

  wake(networkChanged: boolean): void {
    if (networkChanged)
      this.tryBest();
    this.retry.now();
    this.line?.check();
  }

  /** Another token of the same person; who reads as a guest goes on so. */
  refresh(token: string): void {
    if (!this.line || this.lineToken === undefined)
      return;
    if (this.line.refresh(token))
      this.lineToken = token;
    else
      this.restart();
  }

  private tryBest(): void {
    this.worked.clear();
    if (this.way > 0 && this.state !== 'stopped') {
      this.way = 0;
      this.restart();
    }
  }

  private hangUp(): void {
    this.dialled++;
    this.retry.cancel();
    this.env.clearTimeout(this.betterTimer);
    this.line?.close();
    this.line = undefined;
  }

  private become(state: ReaderState): void {
    this.state = state;
    this.host.onState(state);
  }

  private async dial(): Promise<void> {
    const mine = ++this.dialled;
    let worker: Joined;
    this.state = 'connecting';
    try {
      worker = await this.host.findWorker();
    } catch (error) {
      if (mine === this.dialled)
        this.onNoWorker(error as ChatUpError);
      return;
    }
    if (mine !== this.dialled)
      return;
    this.become('connecting');
    if (mine !== this.dialled) /* a handler has hung up: so everywhere below */
      return;
    let openedAt = 0;
    const opened = () => {
      if (openedAt)
        return;
      openedAt = this.env.now();
      this.failures = 0;
      this.worked.add(this.transport);
      if (this.way > 0)
        this.betterTimer = this.env.setTimeout(() => this.tryBest(), TRY_BETTER_MS);
      this.become('open');
      if (mine === this.dialled)
        this.host.onTransport(this.transport);
    };
    const token = this.host.token();
    if (token !== this.lineToken)
      this.onlyRoom = false;
    this.lineToken = token;
    const names = this.onlyRoom ? [this.room] : [this.room, ...this.additional];
    const channels = names.map((channel) => {
      const position = this.positions.get(channel);
      return position ? { channel, since: `${position.epoch}:${position.offset}` } : { channel };
    });
    const down = (how: Down) => {
      this.line = undefined;
      if (how.isUseless)
        this.worked.delete(this.transport);
      this.onDown(how, worker, openedAt && !how.isUseless ? this.env.now() - openedAt : -1);
    };
    const on: ReadOn = {
      open: opened,
      frame: (frame) => {
        const isFirst = !this.positions.has(frame.channel);
        opened();
        if (mine !== this.dialled)
          return; /* it comes again */
        const offset = this.host.onFrame(frame, isFirst);
        if (offset !== undefined)
          this.advance(frame, offset);
      },
      expires: (seconds) => this.host.onExpires(seconds),
      down,
    };
    try {
      this.line = OPEN[this.transport](this.env, { host: worker.host, channels, token, timeout: this.timeout }, on);
    } catch (error) { /* such as a host that is no URL */
      down({ code: 1006, reason: String(error) });
    }
  }

  /** Where a channel stands. */
  position(channel: string): { epoch: string; offset: number } | undefined {
    return this.positions.get(channel);
  }

  private advance({ channel, epoch }: Frame, offset: number): void {
    const known = this.positions.get(channel);
    if (epoch ?? known)
      this.positions.set(channel, { epoch: epoch ?? known!.epoch, offset });
  }

  private onNoWorker(error: ChatUpError): void {
    if (error.err === 'unauthorized' || error.httpStatus === 400 || error.httpStatus === 403) {
      this.refuse(error);
      return;
    }
    this.retry.plan(() => this.dial(), (error.ttw ?? 0) * 1000 || undefined);
  }

  private refuse(error: ChatUpError): void {
    this.hangUp();
    this.become('stopped');
    this.host.onRefused(error);
  }

  /*   lived  milliseconds; -1: it never opened */
  private onDown({ code, reason }: Down, worker: Joined, lived: number): void {
    this.dialled++;
    this.env.clearTimeout(this.betterTimer);
    if (lived >= STEADY_MS) {
      this.shortLives = 0;
      this.retry.reset();
    }
    const pause = /reconnect in (\d+) ms/.exec(reason)?.[1];
    if (code === 1001 || code === 1012) {
      this.host.leaveWorker(worker, 'workerSubConnect');
      this.lost(Number(pause ?? 0));
    } else if (code === 1008) {
      this.onPolicy(reason);
    } else if (code === 1002 || code === 1007 || code === 1009) {
      this.refuse(new ChatUpError(reason || `closed: ${code}`));
    } else {
      this.chooseNext(worker, lived);
    }
  }

  private lost(least?: number): void {
    this.retry.plan(() => this.dial(), least || undefined);
    this.become('lost');
  }

  private onPolicy(reason: string): void {
    const mine = ++this.dialled;
    const refused = reason === 'unauthorized' || reason === 'forbidden' || reason === 'banned';
    if (refused && this.additional.length && !this.onlyRoom) {
      this.onlyRoom = true; /* the room at least; all of it again with the next token */
      this.host.onError(new ChatUpError(reason, { channels: this.additional }));
      if (mine === this.dialled)
        this.dial();
    } else if (refused || reason.startsWith('channels:')) {
      this.refuse(new ChatUpError(reason));
    } else if (reason === 'token expired' || reason === 'Wrong JWT') {
      this.become('connecting');
      if (mine === this.dialled)
        this.host.replaceToken(this.lineToken).then(() => mine === this.dialled && this.lost());
    } else if (reason === 'kicked') {
      this.lost(KICKED_MS);
      this.host.onKicked();
    } else {
      if (reason.startsWith('since:'))
        this.positions.clear();
      this.lost();
    }
  }

  private chooseNext(worker: Joined, lived: number): void {
    if (lived >= 0) {
      if (lived < STEADY_MS && ++this.shortLives >= SHORT_LIVES)
        this.tryFrom(this.way + 1);
    } else if (this.worked.has(this.transport) && ++this.failures < FAILURES) {
      if (this.failures === FAILURES - 1)
        this.host.leaveWorker(worker, 'workerSubConnect');
    } else if (this.way + 1 < this.transports.length) {
      this.worked.delete(this.transport);
      this.tryFrom(this.way + 1);
      this.dial(); /* at once: the worker may be well */
      return;
    } else {
      this.tryFrom(0);
      this.host.leaveWorker(worker, 'workerSubConnect');
    }
    this.lost();
  }

  private tryFrom(way: number): void {
    this.way = way % this.transports.length;
    this.shortLives = 0;
    this.failures = 0;
  }
}
