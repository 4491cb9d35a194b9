/* ChatUpProtocol: a room, without any page around it. It finds a worker, reads, speaks once there is a token, and comes
 * back by itself from whatever happens in between. */
import { Dispatcher, isObject, type Joined, type WireMessage } from './dispatcher.js';
import { Emitter } from './emitter.js';
import { defaultEnv, type Env, type Timer } from './env.js';
import { ChatUpError } from './error.js';
import { Plugins } from './plugins.js';
import { Publisher } from './publisher.js';
import { Reader, type ReaderState } from './reader.js';
import { readToken } from './token.js';
import { Tokens } from './tokens.js';
import type { Frame } from './transports/transport.js';
import type {
  AuthReply, Ban, ChatEvent, ClientPlugin, Conf, Events, Me, Message, PublicUser, SayReply, Stats, Status, Transport, Users,
} from './types.js';
import { Workers } from './workers.js';

const SEEN = 2000; /* ids remembered per channel, for when its numbering began anew */
const TOKENS = 3; /* that are tried at once */
const SAY_MOST_MS = 280000; /* the server knows a client id for five minutes */

export class ChatUpProtocol {
  /** Read by the pages of the original: which worker, and whether speaking is possible. */
  get _worker(): Joined | undefined { return this.workers.current; }
  get _pubConnected(): boolean { return this.publisher.joined; }

  readonly stats: Stats = { msgSent: 0, msgReceived: 0, latency: 0, pubCount: 0, subCount: 0 };

  private readonly env: Env;
  private readonly emitter = new Emitter<Events>();
  private readonly plugins: Plugins;
  private readonly dispatcher: Dispatcher;
  private readonly workers: Workers;
  private readonly reader: Reader;
  private readonly publisher: Publisher;
  private readonly seen = new Map<string, Set<string>>();
  private _status: Status = 'disconnected';
  private started: { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } | undefined;
  private isReady = false; /* it has read for the first time */
  private isClosed = false;
  private life = 0; /* counts close(): what was asked for before is not listened to */
  private tokenRefused = false; /* the server took none of them */
  private kickedAt = -Infinity;
  private hooks: Promise<unknown> = Promise.resolve(); /* of what is said, one after the other */
  private readonly tokens: Tokens;
  private countTimer: Timer;
  private endWake: () => void = () => {};

  /**
   * @param conf  kept, not copied: `jwt` may be set later
   * @param env   for tests: clock, network
   */
  constructor(private readonly conf: Conf = {}, env?: Partial<Env>) {
    this.env = { ...defaultEnv(conf.WebSocket), ...env };
    const timeout = conf.socketIO?.timeout ?? 5000;
    const sayTimeout = Math.min(conf.sayTimeout ?? 120000, SAY_MOST_MS);
    const transports = (conf.transports ?? ['websocket', 'eventsource', 'longpolling'])
      .filter((transport) => transport !== 'websocket' || this.env.WebSocket);
    if (!transports.length)
      throw new ChatUpError('noTransport');
    this.plugins = new Plugins(() => ({ room: this.room, me: this.me }), (error) => this.emit('error', error));
    this.dispatcher = new Dispatcher(this.env, conf.dispatcherURL ?? '/dispatcher');
    this.workers = new Workers((failed) => this.askWorker(failed));
    const onError = (error: Error) => this.emit('error', error);
    const onExpires = (seconds: number) => this.tokens.onExpires(seconds);
    const onKicked = () => this.onKicked();
    this.tokens = new Tokens(this.env, conf, (token) => {
      this.publisher.refresh(token);
      this.reader.refresh(token);
    }, onError);
    const findWorker = () => this.workers.find();
    const leaveWorker = this.workers.leave.bind(this.workers);
    this.reader = new Reader(this.env, this.room, conf.additionalChannels ?? [], transports, timeout, {
      findWorker, leaveWorker,
      token: () => this.tokens.current,
      replaceToken: async (token) => {
        this.tokens.refuse(token);
        if (!this.tokenRefused)
          await this.tokens.get().catch(() => {}); /* then as a guest, until there is one */
      },
      onFrame: (frame, isFirst) => this.onFrame(frame, isFirst),
      onState: (state) => this.onReader(state),
      onTransport: (transport) => {
        this.emit('transport', transport);
        if (transport === 'websocket')
          this.publisher.tryWebSocket();
      },
      onExpires, onKicked, onError,
      onRefused: (error) => this.onReadRefused(error),
    });
    this.publisher = new Publisher(this.env, this.room, timeout, conf.socketIO?.reconnectionAttempts ?? 3, sayTimeout, {
      findWorker, leaveWorker, onExpires, onKicked,
      getToken: () => this.tokens.get(),
      currentToken: () => this.tokens.current,
      refuseToken: (token) => this.tokens.refuse(token),
      checkToken: async (token) => { await this.dispatcher.join(this.room, token); },
      websocketsFail: () => this.reader.state === 'open' && this.reader.transport !== 'websocket',
      onJoined: () => {
        this.tokenRefused = false;
        if (this.started && this.reader.isOutdated)
          this.reader.restart(); /* what it was refused as a guest it may read now, perhaps */
        this.tell();
      },
      onLost: () => this.reader.state === 'open' && this.setStatus('pubConnectError'),
      onRefused: (error, isToken, told) => this.onSpeakRefused(error, isToken, told),
      onBanned: (ban: Ban) => this.emit('banned', ban),
      onUnbanned: () => this.emit('unbanned', undefined),
      onSaid: (latency) => {
        this.stats.msgSent++;
        this.stats.latency = latency;
      },
    });
  }

  get room(): string {
    return this.conf.room ?? 'roomDefault';
  }

  /** Who speaks here, as the token says; undefined for guests. */
  get me(): Me | undefined {
    return this.publisher.isWanted && this.conf.jwt ? readToken(this.conf.jwt) : undefined;
  }

  get ban(): Ban | undefined {
    return this.publisher.ban;
  }

  get transport(): Transport {
    return this.reader.transport;
  }

  get status(): Status {
    return this._status;
  }

  set status(status: Status) {
    this.setStatus(status);
  }

  /** Begin to read, and with a token to speak. Resolves when it reads; rejects if that cannot be. */
  init(): Promise<void> {
    if (!this.started) {
      this.isClosed = false;
      let resolve = () => {};
      let reject: (error: Error) => void = () => {};
      const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no; });
      promise.catch(() => {}); /* nobody has to look: the status tells */
      const started = this.started = { promise, resolve, reject };
      this.endWake = this.env.onWake((networkChanged) => {
        this.reader.wake(networkChanged);
        this.publisher.wake();
      });
      if (this.tokens.isPossible)
        this.publisher.start().catch((error) => this.emit('error', error));
      this.planCount();
      this.reader.start();
      return started.promise; /* a handler may have closed it */
    }
    return this.started.promise;
  }

  /** Enter the room as whoever `conf.jwt`, or `conf.getToken`, is about. Rejects if the server does not take it. */
  authenticate(): Promise<AuthReply> {
    this.tokenRefused = false;
    this.tokens.forgive();
    if (this.isClosed || !this.tokens.isPossible)
      return Promise.reject(new ChatUpError(this.isClosed ? 'closed' : 'notAuthenticated'));
    return this.publisher.start();
  }

  /** Leave as a speaker, and read on as a guest. */
  unauthenticate(): void {
    const hadToken = this.conf.jwt !== undefined;
    this.tokens.forget();
    this.tokenRefused = false;
    this.publisher.stop(new ChatUpError('notAuthenticated'));
    if (hadToken && this.reader.state !== 'stopped')
      this.reader.restart();
    this.tell();
  }

  /** Resolves once the message has its place in the room. Waits for a connection; rejects with a ChatUpError. */
  async say(text: string): Promise<SayReply> {
    const checked = this.hooks.then(() => this.plugins.beforeSay(String(text)));
    this.hooks = checked.catch(() => {}); /* in the order of say(), however long a hook takes */
    const sent = await checked;
    if (sent === false)
      throw new ChatUpError('rejected', { by: 'client' });
    if (this.isClosed)
      throw new ChatUpError('closed');
    if (this.tokenRefused)
      throw new ChatUpError('authError');
    if (!this.tokens.isPossible)
      throw new ChatUpError('notAuthenticated');
    const { ban } = this.publisher;
    if (ban)
      throw new ChatUpError('banned', { ...ban });
    if (this.started && !this.publisher.isWanted) /* before init() it waits */
      throw new ChatUpError('notAuthenticated');
    return this.publisher.say(sent);
  }

  /** Who is there: `limit` (50, at most 1000) of them, after `skip`. */
  async getUsers({ limit = 50, skip = 0 } = {}): Promise<Users> {
    const { life } = this;
    const { clients, pubCount, subCount, users } = await this.dispatcher.stats(this.room, this.tokens.current, limit, skip);
    this.checkLife(life);
    this.count(pubCount, subCount);
    return { clients, pubCount, subCount, users };
  }

  onMsg(handler: (message: Message) => void): () => void { return this.on('message', handler); }
  onEv(handler: (event: ChatEvent) => void): () => void { return this.on('event', handler); }
  onStatusChange(handler: (status: Status) => void): () => void { return this.on('status', handler); }
  onUserCountUpdate(handler: (stats: Stats) => void): () => void { return this.on('userCount', handler); }

  /** Call handler at each such event. Returns what ends that. */
  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void {
    return this.emitter.on(name, handler);
  }

  off<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): void {
    this.emitter.off(name, handler);
  }

  use(plugin: ClientPlugin): this {
    this.plugins.use(plugin);
    return this;
  }

  /** For who draws messages: let plugins at what was drawn. */
  rendered(text: HTMLElement, message: Message): void {
    this.plugins.onRender(text, message);
  }

  /** End it for good: says without an answer are rejected. */
  close(): void {
    this.isClosed = true;
    this.isReady = false;
    this.life++;
    this.endWake();
    this.tokens.stop();
    this.env.clearTimeout(this.countTimer);
    this.publisher.stop(new ChatUpError('closed'));
    this.reader.stop();
    this.workers.forget();
    this.started?.reject(new ChatUpError('closed'));
    this.started = undefined;
    this.setStatus('disconnected');
  }

  /* ---- the worker ---- */

  private async askWorker(failed: { type: string; id: string } | undefined): Promise<Joined> {
    const { life } = this;
    this.setStatus(failed ? 'workerSwitch' : 'gettingWorker');
    this.checkLife(life);
    let refusals = 0;
    if (this.publisher.isWanted)
      await this.tokens.get().catch(() => {}); /* read as who speaks, if that is possible */
    for (;;) {
      this.checkLife(life);
      const token = this.tokens.current;
      const answer = await this.dispatcher.join(this.room, token, failed).catch((error: ChatUpError) => error);
      this.checkLife(life);
      if (!(answer instanceof ChatUpError)) {
        this.onJoined(answer);
        this.checkLife(life);
        return answer;
      }
      const { httpStatus } = answer;
      if (httpStatus === 401) {
        this.tokens.refuse(token); /* a bad token is no reason to read nothing */
        if (++refusals < TOKENS) /* else it reads as a guest: getToken may give bad ones for ever */
          await this.tokens.get().catch(() => {});
      }
      this.checkLife(life);
      const { current } = this.tokens;
      if (token !== current && (httpStatus === 401 || (httpStatus === 403 && current !== undefined)))
        continue; /* with a fresh one, or that of somebody who has signed in meanwhile; or as a guest */
      this.setStatus(httpStatus === 418 ? 'noWorker' : httpStatus === 403 ? 'authError' : 'dispatcherError');
      throw answer;
    }
  }

  private checkLife(life: number): void {
    if (life !== this.life)
      throw new ChatUpError('closed');
  }

  private onJoined(joined: Joined): void {
    if (!this.reader.position(this.room)) {
      const offset = this.receiveAll(this.room, joined.messages.reverse(), true, joined.offset);
      if (offset !== undefined)
        this.reader.begin(joined.epoch, offset);
      this.count(joined.channel.pubCount, joined.channel.subCount + 1);
    }
    joined.messages = [];
  }

  /* ---- what comes ---- */

  private onFrame(frame: Frame, isFirst: boolean): number | undefined {
    const position = this.reader.position(frame.channel);
    const unproven = frame.recovered === false && !isFirst;
    const { life } = this;
    let { messages } = frame;
    if (unproven) {
      const all = messages.map((message) => this.entry(frame.channel, message));
      messages = messages.filter(({ o, i }) => frame.epoch === position?.epoch
        ? o === undefined || o > position!.offset : !this.seen.get(frame.channel)?.has(i));
      this.emit('gap', { channel: frame.channel, messages: all });
      if (life !== this.life)
        return undefined;
    }
    return this.receiveAll(frame.channel, messages, frame.recovered !== undefined, frame.offset);
  }

  /* Up to which offset it was told: `end`, unless a handler closed it. What is left comes after the next init(). */
  private receiveAll(channel: string, messages: WireMessage[], isHistory: boolean, end: number): number | undefined {
    const { life } = this;
    let told: number | undefined;
    for (const message of messages) {
      if (life !== this.life)
        return told;
      this.receive(channel, message, isHistory);
      told = message.o ?? told;
    }
    return end;
  }

  private entry(channel: string, { user, ...more }: WireMessage): Message | ChatEvent {
    const known: PublicUser = isObject(user) ? user : user === undefined || user === null ? {} : { name: String(user) };
    return { ...more, user: known, channel, date: new Date(more.d * 1000) } as Message | ChatEvent;
  }

  private receive(channel: string, wire: WireMessage, isHistory: boolean): void {
    const seen = this.seen.get(channel) ?? new Set();
    this.seen.set(channel, seen);
    seen.add(wire.i);
    if (seen.size > SEEN)
      seen.delete(seen.values().next().value!);
    const entry = this.entry(channel, wire);
    if (!('ev' in entry)) {
      this.stats.msgReceived++;
      const message = this.plugins.onMessage(entry);
      if (message)
        this.emit('message', message);
      return;
    }
    if (channel === this.room && !isHistory) {
      this.countEvent(wire);
      const { me } = this;
      if (entry.ev === 'rmUserMsg' && me && (entry.data === me.sub || entry.data === me.user.name))
        this.publisher.check();
    }
    const event = this.plugins.onEvent(entry);
    if (event)
      this.emit('event', event);
  }

  /* Who joins reads as well, and is counted there already. */
  private countEvent({ ev, data }: WireMessage): void {
    const told = ev === 'presence' && isObject(data) ? data.pubCount : undefined;
    const change = ev === 'join' ? 1 : ev === 'leave' ? -1 : 0;
    this.count(typeof told === 'number' ? told : Math.max(0, this.stats.pubCount + change), this.stats.subCount);
  }

  /* Readers who have come meanwhile are not told of; but who speaks reads. */
  private count(pubCount: number, readers: number): void {
    const subCount = Math.max(readers, pubCount);
    const changed = this.stats.subCount !== subCount || this.stats.pubCount !== pubCount;
    this.stats.pubCount = pubCount;
    this.stats.subCount = subCount;
    if (changed)
      this.emit('userCount', this.stats);
  }

  /* A little chance in it: not all pages of a big room at the same moment. Nobody looks: nobody asks. */
  private planCount(): void {
    const every = this.conf.userCountRefreshTimeout ?? 20000;
    if (!every)
      return;
    const { life } = this;
    this.countTimer = this.env.setTimeout(() => {
      const wanted = this.emitter.has('userCount') && !this.env.isHidden() && this.reader.state === 'open';
      Promise.resolve(wanted && this.getUsers({ limit: 1 })).catch(() => {}).then(() => life === this.life && this.planCount());
    }, every * (0.8 + 0.4 * this.env.random()));
  }

  /* ---- status ---- */

  private onReader(state: ReaderState): void {
    if (state === 'open') {
      this.isReady = true;
      this.started?.resolve();
      this.tell();
    } else if (state === 'lost') {
      this.publisher.check(); /* whatever it was may have cut both */
      this.setStatus('subConnectError');
    } else if (state === 'connecting') {
      this.setStatus('connecting');
    }
  }

  private onReadRefused(error: ChatUpError): void {
    const { started } = this;
    this.setStatus(error.err === 'unauthorized' || error.err === 'forbidden' || error.err === 'banned'
      ? 'authError' : 'dispatcherError');
    this.emit('error', error);
    if (!this.isReady)
      started?.reject(error);
  }

  private onSpeakRefused(error: ChatUpError, isToken: boolean, told: boolean): void {
    this.tokenRefused = isToken;
    this.tell();
    if (isToken)
      this.setStatus('authError');
    if (!told && error.err !== 'kicked')
      this.emit('error', error);
  }

  /* Reader and publisher are both told, if the reader has a token. */
  private onKicked(): void {
    const now = this.env.now();
    if (now - this.kickedAt > 1000)
      this.emit('kicked', undefined);
    this.kickedAt = now;
  }

  private tell(): void {
    if (this.reader.state === 'open')
      this.setStatus(this.publisher.joined ? 'authenticated' : this.tokenRefused ? 'authError' : 'connected');
  }

  private setStatus(status: Status): void {
    if (this._status === status || (this.isClosed && status !== 'disconnected'))
      return;
    this._status = status;
    this.emitter.emit('status', status);
  }

  /* A handler may have closed it just now. */
  private emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    if (!this.isClosed)
      this.emitter.emit(name, value);
  }
}
