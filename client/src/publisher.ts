/* Speaking: a websocket that authenticates, joins, and says what is in the outbox; where websockets do not get through,
 * POST /pub. An answer that was lost is asked for again with the same client id. */
import type { Joined } from './dispatcher.js';
import { ask, isObject, workerUrl } from './dispatcher.js';
import type { Env, SocketLike, Timer } from './env.js';
import { ChatUpError, errorOf } from './error.js';
import { parse } from './transports/transport.js';
import { Outbox, type Say } from './outbox.js';
import { Retry } from './retry.js';
import type { AuthReply, Ban, SayReply } from './types.js';
import type { FailedAs } from './workers.js';

const REPLY_MS = 20000; /* after this the connection counts as dead */
const ASK_AGAIN_MS = 2000; /* what came of a message, when the server did not know */
const LOOK_AT_BAN_MS = 60000; /* it may have been lifted */
const FAILURES_OF_WEBSOCKET = 2;
const TRY_BETTER_MS = 5 * 60 * 1000;
const STEADY_MS = 10000; /* in the room for so long: the next pause is a short one again */
const CHECK_MS = 4000;

/* Of auth and join: try again. All others are a refusal. */
const PASSING = new Set(['tokenUnavailable', 'unavailable', 'unknown', 'pluginUnavailable', 'busy', 'rateLimited', 'tooManyRooms', 'unreachable']);
const BAD_TOKEN = new Set(['Wrong JWT', 'Wrong JWT content', 'Wrong format', 'Already authenticated']);

type Reply = Record<string, unknown>;

/** What a publisher needs of the protocol. */
export interface PublisherHost {
  findWorker(): Promise<Joined>;
  leaveWorker(worker: Joined, as: FailedAs): void;
  /** A token, asked for if there is none. Rejects with tokenUnavailable, or for good. */
  getToken(): Promise<string>;
  currentToken(): string | undefined;
  /** The server takes that one no more. */
  refuseToken(token: string | undefined): void;
  /** Whether the token is good, by HTTP. Rejects if not. */
  checkToken(token: string): Promise<void>;
  /** Websockets do not get through. */
  websocketsFail(): boolean;
  onJoined(): void;
  onLost(): void;
  onExpires(seconds: number): void;
  /** For good, because of the token or otherwise. told: by the promise of somebody who waits. */
  onRefused(error: ChatUpError, isToken: boolean, told: boolean): void;
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
  private refusals = 0; /* of tokens, in a row */
  private lineToken: string | undefined;
  private joinedAt = 0;
  private opening: Timer;
  private byHttp = false;
  private betterTimer: Timer;
  private posting = false;
  private readonly waits = new Set<Timer>(); /* to ask again */
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
      const isOther = this.wanted && this.lineToken !== undefined && this.lineToken !== this.host.currentToken();
      if (this.joined && !isOther) {
        resolve(this.joinedReply());
        return;
      }
      this.waiting.push({ resolve, reject });
      if (!this.wanted || isOther) {
        this.hangUp();
        this.wanted = true;
        this.refusals = 0;
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
    this.check();
  }

  /** Joining again tells whether the connection lives, and whether one is banned. */
  check(): void {
    if (this.socket && this.joined)
      this.join(CHECK_MS);
  }

  /** Websockets get through again, perhaps. */
  tryWebSocket(): void {
    if (!this.wanted || !this.byHttp || !this.joined)
      return;
    this.failures = 0;
    this.hangUp();
    this.dial();
  }

  /** Send a fresh token of the same person. */
  refresh(token: string): void {
    if (!this.joined)
      return;
    this.lineToken = token;
    if (this.socket)
      this.request('auth', token, (reply) => {
        if (reply.status !== 'ok')
          this.down({ code: 1006, reason: '' });
      });
  }

  /* ---- the line ---- */

  private hangUp(): void {
    this.dialled++;
    if (this.joined && this.env.now() - this.joinedAt >= STEADY_MS)
      this.retry.reset();
    this.joined = false;
    this.retry.cancel();
    this.env.clearTimeout(this.opening);
    this.env.clearTimeout(this.betterTimer);
    this.waits.forEach((timer) => this.env.clearTimeout(timer));
    this.waits.clear();
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
      this.lineToken = token;
      const worker = this.worker = await this.host.findWorker();
      if (mine !== this.dialled)
        return;
      if (token !== this.host.currentToken()) { /* refused meanwhile, or another one has come */
        this.dial();
        return;
      }
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
    if (error.httpStatus === 401)
      this.renew(error);
    else if (error.err === 'notAuthenticated' || error.err === 'authError' || error.httpStatus === 403 || error.httpStatus === 400)
      this.refuse(error, error.err === 'authError');
    else
      this.again(error);
  }

  private again(error?: ChatUpError): void {
    this.retry.plan(() => this.dial(), error?.ttw ? error.ttw * 1000 : undefined);
    this.host.onLost(); /* last, as always: a handler may hang up */
  }

  private refuse(error: ChatUpError, isToken = false): void {
    const told = this.waiting.length > 0;
    this.stop(error);
    this.host.onRefused(error, isToken, told);
  }

  private open(worker: Joined, token: string): void {
    const socket = this.socket = new this.env.WebSocket!(workerUrl(this.env, worker.host, '/pub', 'ws'));
    let isOpen = false;
    this.opening = this.env.setTimeout(() => this.down({ code: 1006, reason: '' }), this.timeout);
    socket.onopen = () => {
      isOpen = true;
      this.env.clearTimeout(this.opening);
      this.authenticate(token);
    };
    socket.onmessage = ({ data }) => {
      const frame = parse(data);
      if (frame)
        this.take(frame);
      else
        this.down({ code: 1006, reason: '', isOpen });
    };
    socket.onclose = ({ code, reason }) => this.down({ code, reason, isOpen });
  }

  private down({ code, reason, isOpen = false }: { code: number; reason: string; isOpen?: boolean }): void {
    const { worker } = this;
    const wasJoined = this.joined;
    this.hangUp();
    if ((code === 1008 && (reason === 'kicked' || reason === 'banned' || reason === 'forbidden')) || code === 1002 || code === 1007) {
      this.refuse(new ChatUpError(reason || `closed: ${code}`));
      if (reason === 'kicked')
        this.host.onKicked();
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
    } else if (!wasJoined && !isOpen && ++this.failures % this.attempts === 0) {
      this.leave(worker);
    }
    const pause = Number(/reconnect in (\d+) ms/.exec(reason)?.[1] ?? 0);
    this.retry.plan(() => this.dial(), pause || undefined);
    this.host.onLost();
  }

  private leave(worker: Joined | undefined): void {
    if (worker)
      this.host.leaveWorker(worker, 'workerPubConnect');
  }

  /* The server takes the token no more: with another one, if there is any. */
  private renew(error: ChatUpError): void {
    this.host.refuseToken(this.lineToken);
    this.hangUp();
    if (++this.refusals > 2) {
      this.refuse(error, true);
      return;
    }
    const mine = ++this.dialled;
    this.host.getToken().then(() => {
      if (mine === this.dialled)
        this.dial();
    }, (why: ChatUpError) => {
      if (mine !== this.dialled)
        return;
      if (PASSING.has(why.err))
        this.again(why);
      else
        this.refuse(error, true);
    });
  }

  /* ---- requests ---- */

  private request(verb: string, value: unknown, done: (reply: Reply) => void, most = REPLY_MS): void {
    const id = ++this.lastId;
    const timer = this.env.setTimeout(() => this.down({ code: 1006, reason: 'no reply' }), most);
    this.replies.set(id, { done, timer });
    this.socket!.send(JSON.stringify({ id, [verb]: value }));
  }

  private take(frame: Reply): void {
    if ('expires' in frame) {
      this.host.onExpires(Number(frame.expires));
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
      } else if (BAD_TOKEN.has(error.err)) {
        this.renew(error);
      } else {
        this.refuse(error, true);
      }
    });
  }

  private join(most = REPLY_MS): void {
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
    }, most);
  }

  private onJoin(reply: Reply): void {
    const mine = this.dialled;
    const ttl = reply.banTTL ?? reply.ttl;
    const wasJoined = this.joined;
    this.joined = true;
    this.refusals = 0;
    if (!this.byHttp)
      this.failures = 0;
    if (!wasJoined)
      this.joinedAt = this.env.now();
    this.setBan(typeof ttl === 'number' ? ttl : undefined, reply.reason);
    if (!wasJoined && mine === this.dialled) {
      if (this.byHttp)
        this.betterTimer = this.env.setTimeout(() => this.tryWebSocket(), TRY_BETTER_MS);
      this.host.onJoined();
      if (mine !== this.dialled)
        return; /* a handler has left, or enters as somebody else */
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
    this.banTimer = this.env.setTimeout(() => this.byHttp ? this.setBan(undefined) : this.check(), Math.min(ends, LOOK_AT_BAN_MS));
    this.host.onBanned(this.ban!);
  }

  /* ---- says ---- */

  private transmit(say: Say): void {
    if (this.byHttp) {
      this.post();
      return;
    }
    say.sentAt = this.env.now();
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
      this.later(() => this.outbox.has(say) && this.transmit(say));
    else if (error.err === 'Never joined a room')
      this.down({ code: 1006, reason: '' });
    else
      this.outbox.reject(say, error);
    if (error.err === 'banned')
      this.setBan(error.ttl ?? -1, error.reason);
  }

  /* Not after hangUp(): the next line says it all anew. */
  private later(act: () => void): void {
    const timer = this.env.setTimeout(() => {
      this.waits.delete(timer);
      act();
    }, ASK_AGAIN_MS);
    this.waits.add(timer);
  }

  /* One after the other, so that they stay in order. */
  private async post(): Promise<void> {
    if (this.posting || this.waits.size)
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
          if (reply.err === 'unreachable')
            this.leave(this.worker);
          this.hangUp();
          this.onDialFailed(new ChatUpError(String(reply.err), reply));
          return;
        }
        if (reply.err === 'unknown' || reply.err === 'busy') {
          this.later(() => this.post());
          return;
        }
        this.onSaid(say, reply);
      }
    } catch (error) {
      if (mine === this.dialled) {
        this.hangUp(); /* else entering again would say nothing */
        this.onDialFailed(error as ChatUpError);
      }
    } finally {
      this.posting = false;
      if (mine !== this.dialled && this.joined && this.byHttp && this.outbox.all.length)
        this.post(); /* what was said to the line that came after this one */
    }
  }
}
