/* Speaking: a websocket that authenticates, joins, and says what is in the outbox; where websockets do not get through,
 * POST /pub. An answer that was lost is asked for again with the same client id. */
import type { Joined } from './dispatcher.js';
import { ask, isObject, workerUrl } from './dispatcher.js';
import type { Env, SocketLike, Timer } from './env.js';
import { ChatUpError, errorOf } from './error.js';
import { Outbox, type Say } from './outbox.js';
import { Retry } from './retry.js';
import type { AuthReply, Ban, SayReply } from './types.js';
import type { FailedAs } from './workers.js';

const REPLY_MS = 20000; /* after this the connection counts as dead */
const ASK_AGAIN_MS = 2000; /* what came of a message, when the server did not know */
const LOOK_AT_BAN_MS = 60000; /* it may have been lifted */
const FAILURES_OF_WEBSOCKET = 2;

/* Of auth and join: try again. All others are a refusal. */
const PASSING = new Set(['unavailable', 'unknown', 'pluginUnavailable', 'busy', 'rateLimited', 'tooManyRooms', 'unreachable']);
const BAD_TOKEN = new Set(['Wrong JWT', 'Wrong JWT content', 'Wrong format', 'Already authenticated']);

type Reply = Record<string, unknown>;

/** What a publisher needs of the protocol. */
export interface PublisherHost {
  findWorker(): Promise<Joined>;
  leaveWorker(worker: Joined, as: FailedAs): void;
  /** A token, asked for if there is none. Rejects: there is none to be had. */
  getToken(): Promise<string>;
  /** A fresh one; undefined: there is none. */
  freshToken(): Promise<string | undefined>;
  /** Whether the token is good, by HTTP. Rejects if not. */
  checkToken(token: string): Promise<void>;
  /** Websockets do not get through. */
  websocketsFail(): boolean;
  onJoined(): void;
  onLost(): void;
  onRefused(error: ChatUpError): void;
  onBanned(ban: Ban): void;
  onUnbanned(): void;
  onKicked(): void;
  onSaid(milliseconds: number): void;
}

export class Publisher {
  /** In the room: what is said is sent at once. */
  joined = false;
  private banned: { until: number; reason: string | undefined } | undefined;
  private wanted = false;
  private readonly outbox: Outbox;
  private readonly retry: Retry;
  private waiting: { resolve: (reply: AuthReply) => void; reject: (error: ChatUpError) => void }[] = [];
  private socket: SocketLike | undefined;
  private worker: Joined | undefined;
  private dialled = 0;
  private lastId = 0;
  private replies = new Map<number, { done: (reply: Reply) => void; timer: Timer }>();
  private failures = 0; /* in a row, before it opened */
  private refreshed = false; /* the token is a fresh one already */
  private byHttp = false;
  private posting = false;
  private banTimer: Timer;

  constructor(private readonly env: Env, private readonly room: string, private readonly timeout: number,
              private readonly attempts: number, sayTimeout: number, private readonly host: PublisherHost) {
    this.outbox = new Outbox(env, sayTimeout);
    this.retry = new Retry(env);
  }

  get isWanted(): boolean {
    return this.wanted;
  }

  /** The ban that holds, with the seconds that are left of it. */
  get ban(): Ban | undefined {
    const { banned } = this;
    if (!banned)
      return undefined;
    const ttl = banned.until === Infinity ? -1 : Math.max(0, Math.ceil((banned.until - this.env.now()) / 1000));
    return banned.reason === undefined ? { ttl } : { ttl, reason: banned.reason };
  }

  /** Resolves once in the room; also if banned there. */
  start(): Promise<AuthReply> {
    return new Promise((resolve, reject) => {
      if (this.joined) {
        resolve(this.joinedReply());
        return;
      }
      this.waiting.push({ resolve, reject });
      if (!this.wanted) {
        this.wanted = true;
        this.refreshed = false;
        this.retry.reset();
        this.dial();
      }
    });
  }

  stop(error: ChatUpError): void {
    this.wanted = false;
    this.hangUp();
    this.setBan(undefined);
    this.outbox.rejectAll(error);
    for (const { reject } of this.waiting.splice(0))
      reject(error);
  }

  say(text: string): Promise<SayReply> {
    return this.outbox.add(text, (say) => this.joined && this.transmit(say));
  }

  wake(): void {
    this.retry.now();
  }

  /** What is waited for no longer, as the peer is dead. */
  distrust(): void {
    if (this.socket)
      this.down({ code: 1006, reason: '' });
  }

  /** Send a fresh token of the same person. */
  refresh(token: string): void {
    if (this.socket && this.joined)
      this.request('auth', token, (reply) => {
        if (reply.status !== 'ok')
          this.down({ code: 1006, reason: '' });
      });
  }

  /** Whether one is banned, joining again tells. */
  checkBan(): void {
    if (this.socket && this.joined)
      this.join();
  }

  /* ---- the line ---- */

  private hangUp(): void {
    this.dialled++;
    this.joined = false;
    this.retry.cancel();
    const { socket } = this;
    this.socket = undefined;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.onerror = () => {};
      socket.close();
    }
    this.replies.forEach(({ timer }) => this.env.clearTimeout(timer));
    this.replies.clear();
  }

  private async dial(): Promise<void> {
    const mine = ++this.dialled;
    try {
      const token = await this.host.getToken();
      if (mine !== this.dialled)
        return;
      const worker = this.worker = await this.host.findWorker();
      if (mine !== this.dialled)
        return;
      this.byHttp = !this.env.WebSocket || this.host.websocketsFail() || this.failures >= FAILURES_OF_WEBSOCKET;
      if (this.byHttp) {
        await this.host.checkToken(token);
        if (mine === this.dialled)
          this.onJoin({ status: 'ok' });
      } else {
        this.open(worker, token);
      }
    } catch (error) {
      if (mine === this.dialled)
        this.onDialFailed(error as ChatUpError);
    }
  }

  private onDialFailed(error: ChatUpError): void {
    if (error.httpStatus === 401 && !this.refreshed)
      this.renew(error);
    else if (error.err === 'notAuthenticated' || error.httpStatus === 401 || error.httpStatus === 403 || error.httpStatus === 400)
      this.refuse(error);
    else
      this.again(error);
  }

  private again(error?: ChatUpError): void {
    this.host.onLost();
    this.retry.plan(() => this.dial(), error?.ttw ? error.ttw * 1000 : undefined);
  }

  private refuse(error: ChatUpError): void {
    this.stop(error);
    this.host.onRefused(error);
  }

  private open(worker: Joined, token: string): void {
    const socket = this.socket = new this.env.WebSocket!(workerUrl(this.env, worker.host, '/pub', 'ws'));
    const opening = this.env.setTimeout(() => this.down({ code: 1006, reason: '' }), this.timeout);
    let isOpen = false;
    socket.onopen = () => {
      isOpen = true;
      this.env.clearTimeout(opening);
      this.authenticate(token);
    };
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      this.env.clearTimeout(opening);
      this.down({ code, reason, isOpen });
    };
  }

  private down({ code, reason, isOpen = false }: { code: number; reason: string; isOpen?: boolean }): void {
    const { worker } = this;
    const wasJoined = this.joined;
    this.hangUp();
    if (code === 1008 && (reason === 'kicked' || reason === 'banned' || reason === 'forbidden')) {
      if (reason === 'kicked')
        this.host.onKicked();
      this.refuse(new ChatUpError(reason));
      return;
    }
    if (code === 1008 && reason === 'token expired') {
      this.renew(new ChatUpError(reason));
      return;
    }
    if (code === 1009)
      this.outbox.rejectAll(new ChatUpError('messageTooLong'), (say) => say.sentAt > 0);
    if (code === 1001 || code === 1012) {
      this.leave(worker);
    } else if (wasJoined) {
      this.failures = 0;
      this.retry.reset();
    } else if (!isOpen && ++this.failures % this.attempts === 0) {
      this.leave(worker);
    }
    const pause = Number(/reconnect in (\d+) ms/.exec(reason)?.[1] ?? 0);
    this.host.onLost();
    this.retry.plan(() => this.dial(), pause || undefined);
  }

  private leave(worker: Joined | undefined): void {
    if (worker)
      this.host.leaveWorker(worker, 'workerPubConnect');
  }

  /* The server takes the token no more. */
  private renew(error: ChatUpError): void {
    const mine = ++this.dialled;
    this.joined = false;
    this.host.freshToken().then((token) => {
      if (mine !== this.dialled)
        return;
      this.hangUp();
      if (!token || this.refreshed) {
        this.refuse(error);
        return;
      }
      this.refreshed = true;
      this.dial();
    });
  }

  /* ---- requests ---- */

  private request(verb: string, value: unknown, done: (reply: Reply) => void): void {
    const id = ++this.lastId;
    const timer = this.env.setTimeout(() => this.down({ code: 1006, reason: 'no reply' }), REPLY_MS);
    this.replies.set(id, { done, timer });
    this.socket!.send(JSON.stringify({ id, [verb]: value }));
  }

  private take(frame: Reply): void {
    if ('expires' in frame) {
      this.host.freshToken().then((token) => token && this.refresh(token));
      return;
    }
    const request = this.replies.get(frame.id as number);
    if (!request)
      return;
    this.replies.delete(frame.id as number);
    this.env.clearTimeout(request.timer);
    request.done(isObject(frame.reply) ? frame.reply : { status: frame.reply });
  }

  private authenticate(token: string): void {
    this.request('auth', token, (reply) => {
      const error = errorOf(reply);
      if (reply.status === 'ok') {
        this.join();
      } else if (PASSING.has(error.err)) {
        this.hangUp();
        this.again(error);
      } else if (BAD_TOKEN.has(error.err) && !this.refreshed) {
        this.renew(error);
      } else {
        this.refuse(error);
      }
    });
  }

  private join(): void {
    this.request('join', { room: this.room }, (reply) => {
      const error = errorOf(reply);
      if (reply.status === 'ok' || error.err === 'banned') {
        this.onJoin(reply);
      } else if (PASSING.has(error.err)) {
        this.hangUp();
        this.again(error);
      } else {
        this.refuse(error);
      }
    });
  }

  private onJoin(reply: Reply): void {
    const ttl = reply.banTTL ?? reply.ttl;
    const wasJoined = this.joined;
    this.joined = true;
    this.refreshed = false;
    this.failures = 0;
    this.setBan(typeof ttl === 'number' ? ttl : undefined, reply.reason);
    if (!wasJoined) {
      this.host.onJoined();
      for (const { resolve } of this.waiting.splice(0))
        resolve(this.joinedReply());
      for (const say of this.outbox.all)
        this.transmit(say);
    }
  }

  private joinedReply(): AuthReply {
    const { ban } = this;
    return ban ? { status: 'ok', comment: 'banned', banTTL: ban.ttl, ...(ban.reason ? { reason: ban.reason } : {}) }
      : { status: 'ok' };
  }

  /* ---- bans ---- */

  private setBan(ttl: number | undefined, reason?: unknown): void {
    const had = this.banned;
    this.env.clearTimeout(this.banTimer);
    if (ttl === undefined) {
      this.banned = undefined;
      if (had)
        this.host.onUnbanned();
      return;
    }
    this.banned = {
      until: ttl < 0 ? Infinity : this.env.now() + ttl * 1000,
      reason: typeof reason === 'string' ? reason : undefined,
    };
    this.outbox.rejectAll(new ChatUpError('banned', { ...this.ban }));
    const ends = ttl < 0 ? Infinity : (ttl + 1) * 1000;
    this.banTimer = this.env.setTimeout(() => this.byHttp ? this.setBan(undefined) : this.checkBan(), Math.min(ends, LOOK_AT_BAN_MS));
    this.host.onBanned(this.ban!);
  }

  /* ---- says ---- */

  private transmit(say: Say): void {
    say.sentAt = this.env.now();
    if (this.byHttp)
      this.post();
    else
      this.request('say', { msg: say.text, cid: say.cid }, (reply) => this.onSaid(say, reply));
  }

  private onSaid(say: Say, reply: Reply): void {
    if (reply.status === 'ok') {
      this.host.onSaid(this.env.now() - say.sentAt);
      this.outbox.resolve(say, reply as SayReply);
      return;
    }
    const error = errorOf(reply);
    if (error.err === 'unknown' || error.err === 'busy')
      this.env.setTimeout(() => this.joined && this.outbox.has(say) && this.transmit(say), ASK_AGAIN_MS);
    else if (error.err === 'Never joined a room')
      this.down({ code: 1006, reason: '' });
    else
      this.outbox.reject(say, error);
    if (error.err === 'banned')
      this.setBan(error.ttl ?? -1, error.reason);
  }

  /* One after the other, so that they stay in order. */
  private async post(): Promise<void> {
    if (this.posting)
      return;
    this.posting = true;
    const mine = this.dialled;
    try {
      for (let say = this.outbox.all[0]; say && this.worker; say = this.outbox.all[0]) {
        const url = workerUrl(this.env, this.worker.host, '/pub', 'http');
        const body = JSON.stringify({ room: this.room, msg: say.text, cid: say.cid });
        const token = await this.host.getToken();
        say.sentAt = this.env.now();
        const reply: Reply = await ask(this.env, url, token, { method: 'POST', body })
          .catch((error: ChatUpError) => ({ ...error.reply, err: error.err }));
        if (mine !== this.dialled)
          return;
        if (reply.err === 'unreachable' || reply.httpStatus === 401) {
          this.joined = false;
          this.onDialFailed(new ChatUpError(String(reply.err), reply));
          return;
        }
        if (reply.err === 'unknown')
          await new Promise<void>((done) => { this.env.setTimeout(done, ASK_AGAIN_MS); });
        else
          this.onSaid(say, reply);
      }
    } catch (error) {
      if (mine === this.dialled)
        this.onDialFailed(error as ChatUpError);
    } finally {
      this.posting = false;
    }
  }
}
