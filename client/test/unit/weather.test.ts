/* Any weather: a server that numbers messages, behind a network that cuts, stalls, refuses, answers late and loses
 * answers, by a seed. Whatever comes, what docs/guarantees.md and ../README.md promise has to hold. To see one seed:
 * WEATHER=7 node test/run.mjs */
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { test } from 'node:test';
import type { Transport } from '../../src/types.js';
import { Socket, tokenOf, World } from './world.js';

const SEEDS = process.env.WEATHER ? [Number(process.env.WEATHER)] : Array.from({ length: 150 }, (_, at) => at + 1);
const HISTORY = 12;
const BAD_MS = 180000;
const GOOD_MS = 250000; /* within it all is well again: silence of 75 s, a pause or two, and the end of old tokens */
const MOST_IN_10_S = 50;

/** Mulberry32. */
function dice(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Stored { o: number; msg: string; i: string; d: number; user: object; n: number }
interface Channel { epoch: string; last: number; history: Stored[] }
interface Reading { channels: string[]; send: (frame: any) => void; end: (code: number, reason: string) => void; isDead: boolean; isOver: () => boolean; token: string | undefined }

class Weather {
  readonly random: () => number;
  readonly world: World;
  readonly channels = new Map<string, Channel>();
  readonly published = new Map<string, string[]>([['lobby', []], ['news', []]]); /* texts, in order */
  readonly said: { text: string; settled: number; isOk: boolean }[] = [];
  readonly entering: { settled: number }[] = [];
  isBad = true;
  private isAway = false; /* nothing gets through */
  private readonly dead = new WeakSet<Socket>(); /* they take what is said, and answer nothing */
  isClosed = false; /* the client was; nothing may be told */
  private readings: Reading[] = [];
  private readonly answers = new Map<string, any>(); /* by client id */
  private readonly ends = new Map<string, number>(); /* of tokens */
  private serial = 0;
  private dials: number[] = [];
  private open = 0; /* requests that read */
  private streams = 0;
  private asking = 0; /* requests that do not read: they have ten seconds, also after close() */
  private broken: string | undefined; /* what the library would have caught */

  constructor(readonly seed: number) {
    const random = this.random = dice(seed);
    const weather = this;
    for (const name of ['lobby', 'news'])
      this.channels.set(name, { epoch: `${name}0`, last: 0, history: [] });
    const transports = this.pick<Transport[]>(['websocket', 'eventsource', 'longpolling'], ['websocket', 'eventsource', 'longpolling'], ['eventsource', 'longpolling'], ['longpolling'], ['websocket']);
    this.world = new World({
      transports, additionalChannels: ['news'], userCountRefreshTimeout: this.pick(0, 20000),
      getToken: () => this.getToken(),
    }, {
      random,
      fetch: (url, init) => this.fetch(url, init!),
      WebSocket: class extends Socket {
        constructor(url: string) {
          super(url);
          weather.world.sockets.push(this);
          weather.onSocket(this);
        }
        override send(data: string): void {
          weather.expect(!this.isClosed, 'it speaks by a socket that is closed');
          super.send(data);
          weather.onFrame(this, this.sent.at(-1));
        }
      },
    });
    for (const name of ['message', 'event', 'status', 'userCount', 'transport', 'gap', 'banned', 'unbanned', 'kicked', 'error'] as const)
      this.world.chat.on(name, (value: unknown) => {
        this.expect(!this.isClosed, `${name} after close()`);
        if (this.isBad && value !== 'disconnected' && this.chance(0.01))
          this.meddle();
      });
  }

  pick<T>(...all: T[]): T { return all[Math.floor(this.random() * all.length)]!; }
  chance(odds: number): boolean { return this.random() < odds; }

  private expect(is: boolean, what: string): void {
    if (!is)
      this.broken ??= what;
  }

  /** It happens after so long; if the weather is bad perhaps much later, or never. */
  private later(act: () => void): void {
    if (this.isBad && this.chance(0.08))
      return;
    this.world.at(this.isBad && this.chance(0.1) ? this.random() * 15000 : 1 + this.random() * 30, act);
  }

  /* ---- the server ---- */

  publish(name: string, msg: string): Stored {
    const channel = this.channels.get(name)!;
    const n = ++this.serial;
    const stored: Stored = { o: ++channel.last, msg, i: `i${n}`, d: 1700000000 + n, user: {}, n };
    channel.history = [...channel.history, stored].slice(-HISTORY);
    this.published.get(name)!.push(msg);
    this.tell(name, { channel: name, offset: stored.o, messages: [stored] });
    return stored;
  }

  private tell(name: string, frame: unknown): void {
    for (const reading of this.readings)
      if (!reading.isDead && !reading.isOver() && reading.channels.includes(name))
        reading.send(frame);
  }

  /** The numbering begins anew; perhaps all is lost. */
  anew(): void {
    for (const [name, channel] of this.channels) {
      channel.epoch = `${name}${++this.serial}`;
      channel.history = this.chance(0.5) ? [] : channel.history.map((stored, at) => ({ ...stored, o: at + 1 }));
      channel.last = channel.history.length;
    }
    for (const reading of this.readings.splice(0))
      reading.end(this.pick(1006, 1001), 'going away');
  }

  private first(name: string, since: string | undefined): any {
    const { epoch, last, history } = this.channels.get(name)!;
    const [theirs, offset] = (since ?? ':').split(/:(?=\d*$)/);
    const recovered = theirs === epoch && Number(offset) >= last - history.length && Number(offset) <= last;
    return { channel: name, epoch, offset: last, recovered, messages: recovered ? history.filter(({ o }) => o > Number(offset)) : history };
  }

  private isGood(token: string | undefined): boolean {
    return token === undefined || (this.ends.get(token) ?? 0) > this.world.time;
  }

  private async getToken(): Promise<string> {
    await new Promise<void>((done) => { this.world.at(this.isBad ? this.random() * 3000 : 1, done); });
    if (this.isBad && this.chance(0.3))
      throw new Error('no token');
    const token = tokenOf('Ann', String(++this.serial));
    this.ends.set(token, !this.isBad ? Infinity : this.world.time + 40000 + this.random() * 200000);
    return token;
  }

  /** Lines are cut, die without a word, or end with their token. */
  trouble(): void {
    for (const reading of [...this.readings]) {
      if (!this.isGood(reading.token) && !reading.isDead)
        reading.end(1008, 'token expired');
      else if (this.isBad && this.chance(0.06))
        reading.end(this.pick(1006, 1006, 1001, 1013, 1011), this.pick('', 'going away; reconnect in 900 ms'));
      else if (this.isBad && this.chance(0.03))
        reading.isDead = true;
    }
    this.readings = this.readings.filter(({ isOver }) => !isOver());
    for (const socket of this.world.sockets)
      if (socket.path === '/pub' && !socket.isClosed) {
        const token = socket.sent.filter(({ auth }) => auth).at(-1)?.auth;
        if (token && !this.isGood(token) && !this.dead.has(socket))
          socket.end(1008, 'token expired');
        else if (this.isBad && this.chance(0.06))
          socket.end(this.pick(1006, 1001, 1011), '');
        else if (this.isBad && this.chance(0.04))
          this.dead.add(socket);
      }
  }

  /* ---- websockets ---- */

  private dial(): void {
    const now = this.world.time;
    this.dials = [...this.dials.filter((at) => now - at < 10000), now];
    this.expect(this.dials.length < MOST_IN_10_S, 'it asks and asks');
  }

  private onSocket(socket: Socket): void {
    this.expect(!this.isClosed, 'a socket after close()');
    this.dial();
    if (this.isAway || (this.isBad && this.chance(0.25)))
      this.later(() => socket.isClosed || socket.end());
    else
      this.later(() => socket.isClosed || socket.accept());
  }

  private onFrame(socket: Socket, frame: any): void {
    const answer = (value: unknown) => this.later(() => socket.isClosed || this.dead.has(socket) || socket.receive(value));
    if (socket.path === '/pub') {
      this.later(() => {
        if (!socket.isClosed && !this.dead.has(socket))
          this.onRequest(socket, frame, answer);
      });
    } else if (frame.channels) {
      this.later(() => {
        if (socket.isClosed)
          return;
        if (!this.isGood(frame.token)) {
          socket.end(1008, 'Wrong JWT');
          return;
        }
        /* One pipe, in order. */
        const queue: any[] = [];
        const send = (value: any) => {
          queue.push(value);
          this.world.at(5, () => socket.isClosed || reading.isDead || socket.receive(queue.shift()));
        };
        const reading: Reading = { channels: frame.channels.map(({ channel }: any) => channel), send, isDead: false, isOver: () => socket.isClosed,
          end: (code, reason) => socket.isClosed || socket.end(code, reason), token: frame.token };
        this.readings.push(reading);
        (socket as any).reading = reading;
        for (const { channel, since } of frame.channels)
          send(this.first(channel, since));
      });
    } else {
      const reading = (socket as any).reading as Reading | undefined;
      if (frame.token && reading)
        reading.token = frame.token;
      if (frame.ping && reading && !reading.isDead)
        reading.send({ pong: frame.ping });
    }
  }

  private onRequest(socket: any, { id, auth, join, say }: any, answer: (value: unknown) => void): void {
    const passing = this.isBad && this.chance(0.08) ? { status: 'error', err: this.pick('unavailable', 'busy', 'rateLimited'), ttw: 1 } : undefined;
    if (auth !== undefined) {
      socket.isIn = this.isGood(auth);
      answer({ id, reply: socket.isIn ? passing ?? 'ok' : { status: 'error', err: 'Wrong JWT' } });
      if (socket.isIn && this.ends.get(auth)! - this.world.time < 60000)
        answer({ expires: Math.round((this.ends.get(auth)! - this.world.time) / 1000) });
    } else if (join) {
      answer({ id, reply: passing ?? 'ok' });
    } else {
      answer({ id, reply: this.onSay(say) });
    }
  }

  private onSay({ msg, cid }: { msg: string; cid: string }): any {
    if (this.isBad && this.chance(0.1))
      return { status: 'error', err: this.pick('busy', 'unknown') };
    if (!this.answers.has(cid)) {
      const { i, o } = this.publish('lobby', msg);
      this.answers.set(cid, { status: 'ok', i, offset: o, epoch: this.channels.get('lobby')!.epoch });
    }
    return this.isBad && this.chance(0.1) ? { status: 'error', err: 'unknown' } : this.answers.get(cid);
  }

  /* ---- HTTP ---- */

  private fetch(url: string, init: RequestInit): Promise<Response> {
    const { pathname, searchParams } = new URL(url);
    this.expect(!this.isClosed, `${pathname} after close()`);
    if (pathname !== '/lp' && pathname !== '/pub')
      this.dial();
    const token = (init.headers as any)?.Authorization?.replace('Bearer ', '');
    const reads = pathname === '/ev' || pathname === '/lp' || pathname === '/health/live';
    return new Promise((resolve, reject) => {
      let isOver = false;
      const count = (change: number) => { this[reads ? 'open' : 'asking'] += change; };
      count(1);
      const over = () => {
        if (!isOver)
          count(-1);
        isOver = true;
      };
      setMaxListeners(0, init.signal!); /* all polls of a line have the same */
      init.signal!.addEventListener('abort', () => {
        over();
        reject(new TypeError('aborted'));
      });
      const answer = (status: number, body: unknown) => this.later(() => {
        over();
        resolve(new Response(typeof body === 'string' ? body : JSON.stringify(body), { status }));
      });
      this.later(() => {
        if (isOver)
          return;
        if (this.isAway || (this.isBad && this.chance(0.15))) {
          over();
          reject(new TypeError('failed'));
        } else if (this.isBad && this.chance(0.1)) {
          answer(502, '<html>');
        } else if (!this.isGood(token)) {
          answer(401, { status: 'error', err: 'Wrong JWT' });
        } else if (pathname === '/join') {
          const { epoch, last, history } = this.channels.get('lobby')!;
          if (this.isBad && this.chance(0.1))
            answer(this.pick(418, 503), { status: 'error', err: 'unavailable' });
          else
            answer(200, { host: 'http://w', id: this.pick('w1', 'w2'), channel: { subCount: 1, pubCount: 0 }, epoch, offset: last, messages: [...history].reverse() });
        } else if (pathname === '/stats') {
          answer(200, { pubCount: this.serial, subCount: this.serial, users: 1, clients: [] });
        } else if (pathname === '/health/live') {
          answer(200, { status: 'ok' });
        } else if (pathname === '/pub') {
          answer(200, this.onSay(JSON.parse(String(init.body))));
        } else {
          this.read(pathname, JSON.parse(searchParams.get('channels')!), token, init.signal!, (response) => {
            over();
            resolve(response);
          });
        }
      });
    });
  }

  private read(path: string, channels: { channel: string; since?: string }[], token: string | undefined, signal: AbortSignal, resolve: (response: Response) => void): void {
    const firsts = channels.map(({ channel, since }) => this.first(channel, since));
    let isOver = signal.aborted;
    if (path === '/ev') {
      let pipe!: ReadableStreamDefaultController<Uint8Array>;
      const write = (text: string) => isOver || reading.isDead || pipe.enqueue(new TextEncoder().encode(`${text}\n\n`));
      const over = () => {
        if (!isOver)
          this.streams--;
        isOver = true;
      };
      const reading: Reading = { channels: channels.map(({ channel }) => channel), isDead: false, isOver: () => isOver, token,
        send: (frame) => write(`data: ${JSON.stringify(frame)}`),
        end: (code, reason) => {
          if (isOver)
            return;
          if (code !== 1006)
            write(`event: close\ndata: ${JSON.stringify({ close: code, reason })}`);
          over();
          if (code === 1006)
            pipe.error(new TypeError('cut'));
        } };
      signal.addEventListener('abort', () => {
        if (!isOver)
          pipe.error(new TypeError('aborted'));
        over();
      });
      this.streams++;
      resolve(new Response(new ReadableStream({ start(controller) { pipe = controller; } })));
      const still = () => this.world.at(30000, () => {
        if (!isOver) {
          write(':');
          still();
        }
      });
      still();
      this.readings.push(reading);
      firsts.forEach(reading.send);
      return;
    }
    /* A poll: what there is, at once; or what comes. */
    const answer = (frames: any[]) => {
      if (isOver)
        return;
      isOver = true;
      const since = channels.map(({ channel, since: before }, at) => {
        const offset = frames.filter((frame) => frame.channel === channel).at(-1)?.offset;
        return offset === undefined ? before ?? `${firsts[at].epoch}:${firsts[at].offset}` : `${firsts[at].epoch}:${offset}`;
      });
      resolve(new Response(JSON.stringify({ since: since.join(','), frames })));
    };
    signal.addEventListener('abort', () => { isOver = true; });
    const news = firsts.filter(({ recovered, messages }) => !recovered || messages.length);
    if (news.length) {
      answer(news);
      return;
    }
    const reading: Reading = { channels: channels.map(({ channel }) => channel), isDead: false, isOver: () => isOver, token,
      send: (frame) => answer([frame]), end: () => answer([]) };
    this.readings.push(reading);
    this.world.at(30000, () => reading.isDead || answer([]));
  }

  /* ---- the user ---- */

  say(): void {
    const { chat } = this.world;
    const entry = { text: `mine ${this.said.length}`, settled: 0, isOk: false };
    this.said.push(entry);
    chat.say(entry.text).then(() => {
      entry.settled++;
      entry.isOk = true;
    }, () => { entry.settled++; });
  }

  begin(): void {
    this.isClosed = false;
    this.enter((chat) => chat.init());
  }

  private enter(act: (chat: World['chat']) => Promise<unknown>): void {
    const entry = { settled: 0 };
    this.entering.push(entry);
    act(this.world.chat).then(() => { entry.settled++; }, () => { entry.settled++; });
  }

  close(): void {
    this.world.chat.close();
    this.isClosed = true;
    this.checkNothingLives();
  }

  meddle(): void {
    const { chat } = this.world;
    switch (this.pick('close', 'restart', 'leave', 'enter', 'wake', 'wake', 'online')) {
    case 'close':
      this.close();
      this.world.at(this.random() * 20000, () => this.begin());
      break;
    case 'restart':
      this.close();
      this.begin();
      break;
    case 'leave':
      chat.unauthenticate();
      this.world.at(this.random() * 20000, () => this.enter(() => chat.authenticate()));
      break;
    case 'enter':
      this.enter(() => chat.authenticate());
      break;
    case 'wake':
      this.world.wake(false);
      break;
    case 'online':
      this.world.wake(true);
      break;
    }
  }

  /* ---- what has to hold ---- */

  private lines(path: string): number {
    return this.world.sockets.filter((socket) => socket.path === path && !socket.isClosed).length;
  }

  checkNothingLives(): void {
    this.expect(this.world.chat.status === 'disconnected', 'a status after close()');
    this.expect(this.lines('/ws') + this.lines('/pub') + this.open + this.streams === 0, 'a line after close()');
    this.expect(this.world.pending <= this.asking, 'a timer after close()');
  }

  checkLines(): void {
    assert.equal(this.broken, undefined);
    assert.ok(this.lines('/ws') + this.open + this.streams <= 1, 'more than one line that reads');
    assert.ok(this.lines('/pub') <= 1, 'more than one line that speaks');
  }

  checkMessages(): void {
    for (const name of this.channels.keys()) {
      let last = 0;
      let mayMiss = true;
      const all = this.published.get(name)!;
      for (const [event, value] of this.world.events) {
        if (value?.channel !== name)
          continue;
        if (event === 'gap')
          mayMiss = true;
        if (event !== 'message')
          continue;
        const at = all.indexOf(value.msg) + 1;
        assert.ok(at > last, `${name}: ${value.msg} came twice, or late`);
        assert.ok(at === last + 1 || mayMiss, `${name}: before ${value.msg} something is missing`);
        last = at;
        mayMiss = false;
      }
      assert.equal(last, all.length, `${name}: the last is missing`);
    }
  }

  async live(): Promise<void> {
    const { world } = this;
    this.begin();
    const end = world.time + BAD_MS;
    while (world.time < end) {
      await world.pass(this.random() * 4000);
      this.isAway = this.chance(this.isAway ? 0.9 : 0.03);
      this.trouble();
      if (this.chance(0.5))
        this.other('lobby');
      if (this.chance(0.2))
        this.other('news');
      if (this.chance(0.3))
        this.say();
      if (this.chance(0.04))
        this.anew();
      if (this.chance(0.06))
        this.meddle();
      this.checkLines();
    }
    this.isBad = this.isAway = false;
    for (let waited = 0; waited < GOOD_MS; waited += 5000) {
      await world.pass(5000);
      this.trouble();
      this.checkLines();
    }
    assert.equal(world.chat.status, 'authenticated');
    const mine = world.chat.say('the last word');
    await world.pass(1000);
    assert.equal((await mine).status, 'ok');
    this.other('news');
    await world.pass(1000);
    this.checkMessages();
    this.checkSaid();
    this.say(); /* it is closed before it is sent */
    this.close();
    await world.pass(100000);
    this.checkLines();
    this.checkNothingLives();
    assert.equal(world.pending, 0, 'a timer after close()');
    for (const { settled } of [...this.said, ...this.entering])
      assert.equal(settled, 1, 'a promise that was not kept');
  }

  other(name: string): void {
    this.publish(name, `${name} ${this.serial}`);
  }

  checkSaid(): void {
    for (const { text, isOk } of this.said) {
      const times = this.published.get('lobby')!.filter((other) => other === text).length;
      assert.ok(times <= 1, `${text} was said ${times} times`);
      assert.ok(times || !isOk, `${text} was not said`);
    }
  }
}

test(`in any weather nothing is lost, doubled or left over: ${SEEDS.length} seeds`, async () => {
  for (const seed of SEEDS) {
    try {
      await new Weather(seed).live();
    } catch (error) {
      throw new Error(`WEATHER=${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
});
