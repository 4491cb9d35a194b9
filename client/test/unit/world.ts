/* A world for ChatUpProtocol in which the clock is ours: timers, sockets and answers come when a test says so. */
import type { Env, SocketLike } from '../../src/env.js';
import { ChatUpProtocol } from '../../src/protocol.js';
import type { Conf, Events } from '../../src/types.js';

export class Socket implements SocketLike {
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  readonly sent: any[] = [];
  isClosed = false;

  constructor(readonly url: string) {}

  get path(): string { return new URL(this.url).pathname; }
  send(data: string): void { this.sent.push(JSON.parse(data)); }
  close(): void { this.isClosed = true; }

  /** What the server does. */
  accept(): void { this.onopen?.({}); }
  receive(frame: unknown): void { this.onmessage?.({ data: JSON.stringify(frame) }); }
  end(code = 1006, reason = ''): void {
    this.isClosed = true;
    this.onclose?.({ code, reason });
  }
}

export interface Asked { path: string; query: URLSearchParams; body: any; token: string | undefined; answer: (status: number, body: unknown) => void; fail: () => void }

/** {"sub", "_public": {"name"}} unsigned: the client does not look at signatures. */
export const tokenOf = (name: string, more = '') =>
  `x.${Buffer.from(JSON.stringify({ sub: `id-${name}`, _public: { name }, more })).toString('base64url')}.x`;

export const said = (o: number, msg: string, name = 'Ann') => ({ o, msg, user: { name }, sub: `id-${name}`, i: `i${o}`, d: 1700000000.5 + o });

export class World {
  time = 1700000000000;
  readonly sockets: Socket[] = [];
  readonly asked: Asked[] = [];
  readonly events: [keyof Events, any][] = [];
  hidden = false;
  random = 0.5;
  wake: (networkChanged: boolean) => void = () => {};
  readonly chat: ChatUpProtocol;
  readonly conf: Conf;
  private timers: { at: number; act: () => void; isOurs: boolean }[] = [];

  constructor(conf: Conf = {}, more: Partial<Env> = {}) {
    const world = this;
    const env: Env = {
      fetch: (url, init) => this.fetch(url, init),
      WebSocket: class extends Socket {
        constructor(url: string) {
          super(url);
          world.sockets.push(this);
        }
      },
      now: () => this.time,
      random: () => this.random,
      setTimeout: (act, ms) => this.at(ms, act, false),
      clearTimeout: (timer) => { this.timers = this.timers.filter((other) => other !== timer); },
      isHidden: () => this.hidden,
      base: undefined,
      onWake: (act) => {
        this.wake = act;
        return () => {};
      },
      ...more,
    };
    this.conf = { dispatcherURL: 'http://d', room: 'lobby', userCountRefreshTimeout: 0, ...conf };
    this.chat = new ChatUpProtocol(this.conf, env);
    for (const name of ['message', 'event', 'status', 'userCount', 'transport', 'gap', 'banned', 'unbanned', 'kicked', 'error'] as const)
      this.chat.on(name, (value) => this.events.push([name, structuredClone(value)]));
  }

  /** It happens after so long. */
  at(ms: number, act: () => void, isOurs = true): object {
    const timer = { at: this.time + ms, act, isOurs };
    this.timers.push(timer);
    return timer;
  }

  /** Timers of the client that are still to come. */
  get pending(): number { return this.timers.filter(({ isOurs }) => !isOurs).length; }

  of(name: keyof Events): any[] {
    return this.events.filter(([other]) => other === name).map(([, value]) => value);
  }

  texts(): string[] { return this.of('message').map(({ msg }) => msg); }

  /** Promises that are due are kept. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 40; turn++)
      await Promise.resolve();
    await new Promise((done) => { setImmediate(done); });
  }

  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    await this.settle();
    for (;;) {
      const [next] = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next)
        break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = Math.max(this.time, next.at);
      next.act();
      await this.settle();
    }
    this.time = end;
  }

  private fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const { pathname, searchParams } = new URL(url);
    return new Promise((resolve, reject) => {
      const fail = () => reject(new TypeError('failed'));
      init.signal?.addEventListener('abort', fail);
      this.asked.push({
        path: pathname,
        query: searchParams,
        body: init.body ? JSON.parse(String(init.body)) : undefined,
        token: (init.headers as Record<string, string> | undefined)?.Authorization?.replace('Bearer ', ''),
        answer: (status, body) => resolve(body instanceof ReadableStream ? new Response(body, { status })
          : new Response(JSON.stringify(body), { status })),
        fail,
      });
    });
  }

  /** The next question, to this path; waits until it was asked. */
  async next(path: string): Promise<Asked> {
    for (let turn = 0; turn < 5; turn++) {
      await this.settle();
      const at = this.asked.findIndex((asked) => asked.path === path);
      if (at >= 0)
        return this.asked.splice(at, 1)[0]!;
    }
    throw new Error(`nobody asked for ${path}; asked: ${this.asked.map((asked) => asked.path)}`);
  }

  /** Let long polling find the server. */
  async reached(): Promise<void> {
    (await this.next('/health/live')).answer(200, { status: 'ok' });
    await this.settle();
  }

  /** Answer the next /join. */
  async joined(id = 'w1', messages: unknown[] = [], offset = messages.length): Promise<Asked> {
    const asked = await this.next('/join');
    asked.answer(200, { host: `http://${id}`, id, channel: { subCount: 2, pubCount: 1 }, epoch: 'e', offset, messages: [...messages].reverse() });
    await this.settle();
    return asked;
  }

  /** The newest socket of a path that is open. */
  socket(path: string): Socket {
    const socket = this.sockets.filter((other) => other.path === path && !other.isClosed).at(-1);
    if (!socket)
      throw new Error(`no socket to ${path}`);
    return socket;
  }

  has(path: string): boolean {
    return this.sockets.some((socket) => socket.path === path && !socket.isClosed);
  }

  /** Let the reader's socket open, and send first frames with nothing new. */
  async reading(): Promise<Socket> {
    const socket = this.socket('/ws');
    socket.accept();
    for (const { channel, since } of socket.sent[0].channels) {
      const [epoch, offset] = (since ?? 'e:0').split(':');
      socket.receive({ channel, epoch, offset: Number(offset), recovered: since !== undefined, messages: [] });
    }
    await this.settle();
    return socket;
  }

  /** Let the publisher's socket open, authenticate and join. */
  async speaking(join: unknown = 'ok'): Promise<Socket> {
    const socket = this.socket('/pub');
    socket.accept();
    socket.receive({ id: socket.sent.at(-1).id, reply: 'ok' });
    socket.receive({ id: socket.sent.at(-1).id, reply: join });
    await this.settle();
    return socket;
  }

  /** A guest who reads. */
  static async guest(conf: Conf = {}): Promise<World> {
    const world = new World(conf);
    world.chat.init();
    await world.joined();
    await world.reading();
    return world;
  }

  /** Somebody who reads and speaks. */
  static async speaker(conf: Conf = {}): Promise<World> {
    const world = await World.guest({ jwt: tokenOf('Ann'), ...conf });
    await world.speaking();
    return world;
  }
}
