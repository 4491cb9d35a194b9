/* The demo page of ChatUp. Part 1 speaks docs/protocol.md and knows no DOM; part 2 draws and knows no
 * sockets; part 3 ties them. What people write reaches the page only as textContent. */
'use strict';

/* ================================ 1. Sockets ================================ */

const BACKOFF_MS = 500;
const BACKOFF_MOST_MS = 15000;
const STEADY_MS = 10000; /* a connection that lived so long starts the backoff anew */
const REPLY_MS = 20000; /* after this the connection counts as dead */
const ASK_AGAIN_MS = 2000; /* what came of a message, when the server did not know */
const REPEAT_MS = 280000; /* the server knows a cid for five minutes: repeat no later */
const FRAME_BYTES = 64 * 1024; /* a bigger one would close the socket */

/* One HTTP question. An error carries the answer's status; without one the server was not reached. */
async function ask(path, options) {
  const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout?.(REPLY_MS), ...options });
  const body = await answer.json().catch(() => null);
  if (answer.ok && body)
    return body;
  const error = new Error(body?.err ?? body?.error ?? `The server answered ${answer.status}`);
  error.status = answer.status;
  throw error;
}

const postJson = (path, body) =>
  ask(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

const askStats = (room, limit) => ask(`/stats?channel=${encodeURIComponent(room)}&limit=${limit}`);

const randomId = () => crypto.randomUUID?.() /* only in secure contexts */ ??
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/* Only the demo gives tokens to anybody; your own page asks your own site for one. */
async function tokenFor(name) {
  try {
    return (await postJson('/plugin/demo/token', { name })).token;
  } catch (error) {
    if (error.status === 404)
      error.message = 'This server gives no tokens, as it does not run as a demo: here you can only read.';
    throw error;
  }
}

/* Who a token says we are: what `sub` of our messages will be. */
function identityOf(token) {
  try {
    const bytes = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))));
    return claims.sub ?? claims.name ?? claims._public?.name;
  } catch {
    return undefined;
  }
}

/* A websocket that comes back by itself: on.url() is asked before each attempt, then on.open, on.frame, on.down. */
class Line {
  constructor(on) {
    this.on = on;
    this.running = false;
    this.socket = null;
    this.attempt = 0;
    this.dialled = 0; /* counts attempts, so that an outdated one notices */
    globalThis.addEventListener('online', () => this.timer && this.dial());
  }

  start() {
    this.running = true;
    this.attempt = 0;
    this.dial();
  }

  stop() {
    this.running = false;
    this.cut();
  }

  /* Give the connection up now; a dead peer would let close() wait. */
  cut() {
    this.socket?.close();
    this.down({ code: 0 });
  }

  send(object) {
    this.socket?.send(JSON.stringify(object));
  }

  async dial() {
    const mine = ++this.dialled;
    clearTimeout(this.timer);
    this.timer = 0;
    let socket;
    try {
      const url = await this.on.url();
      if (mine !== this.dialled)
        return;
      socket = new WebSocket(url);
    } catch (error) {
      if (mine === this.dialled)
        this.down({ code: 0, error });
      return;
    }
    this.socket = socket;
    this.openedAt = 0;
    const current = (act) => (event) => mine === this.dialled && act(event);
    socket.onopen = current(() => {
      this.openedAt = Date.now();
      this.on.open();
    });
    socket.onmessage = current((event) => this.on.frame(JSON.parse(event.data)));
    socket.onclose = current((event) => this.down({ code: event.code }));
  }

  down({ code, error }) {
    const opened = Boolean(this.socket && this.openedAt);
    this.attempt = opened && Date.now() - this.openedAt > STEADY_MS ? 0 : this.attempt + 1;
    this.socket = null;
    this.dialled++;
    clearTimeout(this.timer);
    this.timer = 0;
    this.on.down({ code, opened, error });
    if (!this.running)
      return;
    const most = Math.min(BACKOFF_MOST_MS, BACKOFF_MS * 2 ** (this.attempt + 1));
    this.timer = setTimeout(() => this.dial(), BACKOFF_MS + Math.random() * (most - BACKOFF_MS));
  }
}

/* One room: a line that reads, and once we have a name a line that speaks. `on` gets
 *   state(name)  history(messages, missed)  messages(list)  refused(reason)            of the room
 *   joined()  banned(seconds)  waiting(count)  rejected(text, reply)  nameRefused(err) of ourselves */
class Chat {
  constructor(room, on) {
    this.room = room;
    this.on = on;
    this.position = null; /* "epoch:offset", up to where we have everything */
    this.reading = this.resuming = false;
    this.name = this.token = null;
    this.speaking = this.spoke = false;
    this.outbox = []; /* says without an answer, oldest first */
    this.replies = new Map(); /* request id to {done, timer} */
    this.lastId = 0;
    this.reader = new Line({
      url: () => this.readerUrl(),
      open: () => {},
      frame: (frame) => this.readFrame(frame),
      down: (how) => this.readerDown(how),
    });
    this.speaker = new Line({
      url: () => this.speakerUrl(),
      open: () => this.authenticate(),
      frame: (frame) => this.readReply(frame),
      down: (how) => this.speakerDown(how),
    });
    this.reader.start();
  }

  tellState() {
    const well = this.reading && (this.speaking || !this.spoke);
    this.on.state(well ? 'connected' : this.resuming ? 'reconnecting' : 'connecting');
  }

  /* ---- where the room lives: one question for both lines, asked anew when that server has failed ---- */

  findHome() {
    this.home ??= this.askHome().catch((error) => {
      this.home = null;
      throw error;
    });
    return this.home;
  }

  async askHome() {
    const failed = this.failed;
    this.failed = undefined; /* named once: it may be the only one there is */
    const path = `/join?channel=${encodeURIComponent(this.room)}`;
    const home = await postJson(path, failed ? { worker: { id: failed } } : {});
    if (!this.position) {
      this.position = `${home.epoch}:${home.offset}`;
      this.on.history(home.messages.reverse(), false);
    }
    this.homeId = home.id;
    return home;
  }

  leaveHome(opened, code) {
    if (!this.homeId || (opened && code !== 1001))
      return;
    this.failed = this.homeId;
    this.home = this.homeId = null;
  }

  async socketUrl(path) {
    const url = new URL(path, (await this.findHome()).host);
    url.protocol = url.protocol === 'https:' || location.protocol === 'https:' ? 'wss:' : 'ws:';
    return url.href;
  }

  /* ---- reading ---- */

  async readerUrl() {
    await this.findHome(); /* it gives the first position */
    const channels = JSON.stringify([{ channel: this.room, since: this.position }]);
    return this.socketUrl(`/ws?channels=${encodeURIComponent(channels)}`);
  }

  readFrame(frame) {
    if ('recovered' in frame) {
      this.epoch = frame.epoch;
      this.reading = true;
    }
    if (frame.recovered === false)
      this.on.history(frame.messages, this.resuming);
    else
      this.on.messages(frame.messages);
    this.resuming = true;
    this.position = `${this.epoch}:${frame.offset}`;
    this.tellState();
  }

  readerDown({ code, opened, error }) {
    this.reading = false;
    this.leaveHome(opened, code);
    if (error?.status === 400)
      this.giveUp(error);
    this.tellState();
  }

  /* No such room can be: asking again would not help. */
  giveUp(error) {
    this.reader.running = this.speaker.running = false;
    this.on.refused(error.message);
  }

  /* ---- speaking ---- */

  /* Take a name; throws what the server has against it. */
  async enter(name) {
    this.token = await tokenFor(name);
    this.name = name;
    this.speaker.start();
    return this.identity();
  }

  identity() {
    return identityOf(this.token);
  }

  leave() {
    this.speaker.stop();
    this.name = this.token = null;
    this.spoke = false;
    this.handBack(() => true, null);
    this.tellState();
  }

  async speakerUrl() {
    this.token ??= await tokenFor(this.name);
    return this.socketUrl('/pub');
  }

  request(verb, value, done) {
    const id = ++this.lastId;
    const timer = setTimeout(() => this.speaker.cut(), REPLY_MS);
    this.replies.set(id, { done, timer });
    this.speaker.send({ id, [verb]: value });
  }

  readReply({ id, reply }) {
    const request = this.replies.get(id);
    if (!request)
      return;
    this.replies.delete(id);
    clearTimeout(request.timer);
    request.done(reply === 'ok' ? { status: 'ok' } : reply ?? {});
  }

  authenticate() {
    this.request('auth', this.token, (reply) => {
      if (reply.status === 'ok') {
        this.join();
        return;
      }
      this.token = null; /* expired, or of another server: the next attempt gets a new one */
      this.on.rejected('', reply);
      this.speaker.cut();
    });
  }

  join() {
    this.request('join', { room: this.room }, (reply) => {
      const banned = reply.comment === 'banned' || reply.err === 'banned';
      if (reply.status !== 'ok' && !banned) {
        this.on.rejected('', reply);
        this.speaker.cut();
        return;
      }
      this.speaking = this.spoke = true;
      if (banned) {
        this.handBack(() => true, null);
        this.ban(reply.banTTL ?? reply.ttl);
      } else {
        this.on.joined();
        this.handBack((say) => say.sentAt && Date.now() - say.sentAt > REPEAT_MS, { err: 'unsure' });
        this.outbox.forEach((say) => this.transmit(say));
      }
      this.tellState();
    });
  }

  /* Joining again when the ban is over tells whether it is. */
  ban(seconds) {
    this.on.banned(seconds);
    clearTimeout(this.banTimer);
    if (seconds >= 0)
      this.banTimer = setTimeout(() => this.join(), (Math.min(seconds, 86400) + 1) * 1000);
  }

  say(text) {
    const say = { text, cid: randomId(), sentAt: 0 };
    if (new TextEncoder().encode(JSON.stringify(say)).length > FRAME_BYTES) {
      this.on.rejected(text, { err: 'messageTooLong' });
      return;
    }
    this.outbox.push(say);
    if (this.speaking)
      this.transmit(say);
    this.on.waiting(this.outbox.length);
  }

  /* Also the repetition after a lost answer, or an unknown outcome: the cid keeps it one message. */
  transmit(say) {
    say.sentAt ||= Date.now();
    this.request('say', { msg: say.text, cid: say.cid }, (reply) => {
      if (reply.err === 'unknown' && Date.now() - say.sentAt < REPEAT_MS) {
        setTimeout(() => this.speaking && this.outbox.includes(say) && this.transmit(say), ASK_AGAIN_MS);
        return;
      }
      if (reply.status !== 'ok') {
        this.handBack((other) => other === say, reply);
        if (reply.err === 'banned')
          this.ban(reply.ttl);
        return;
      }
      this.outbox = this.outbox.filter((other) => other !== say);
      this.on.waiting(this.outbox.length);
    });
  }

  handBack(which, reply) {
    const back = this.outbox.filter(which);
    this.outbox = this.outbox.filter((say) => !back.includes(say));
    if (back.length)
      this.on.rejected(back.map((say) => say.text).join('\n'), reply);
    this.on.waiting(this.outbox.length);
  }

  speakerDown({ code, opened, error }) {
    this.speaking = false;
    this.replies.forEach(({ timer }) => clearTimeout(timer));
    this.replies.clear();
    clearTimeout(this.banTimer);
    this.leaveHome(opened, code);
    if (code === 1009)
      this.handBack((say) => say.sentAt, { err: 'messageTooLong' });
    if (error?.status === 400 && this.token)
      this.giveUp(error);
    if (error?.status >= 400 && error.status < 500 && !this.token && this.name) {
      this.leave();
      this.on.nameRefused(error.message);
    }
    this.tellState();
  }
}

/* ================================ 2. The page ================================ */

const MOST_SHOWN = 500;
const MOST_NAMES = 100;
const TOGETHER_S = 300; /* what one person says within this time stands together */
const NEAR_BOTTOM_PX = 40;
const ONLY_EMOJI = /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}|\p{Emoji_Modifier}|\u200d|\ufe0f){1,8}$/u;
const STATES = { connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting' };

const at = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text ?? '';
  return made;
}

/* Names are anything: `user` may be any JSON. */
function nameOf(user, sub) {
  const name = typeof user === 'string' ? user : user?.name ?? sub;
  return typeof name === 'string' && name.trim() ? name : 'Somebody';
}

function hueOf(name) {
  let hash = 2166136261; /* FNV-1a */
  for (const char of name)
    hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  return (Math.imul(hash ^ (hash >>> 15), 2654435769) >>> 0) % 360;
}

function avatar(name) {
  const initial = name.match(/[\p{L}\p{N}\p{Extended_Pictographic}]/u)?.[0] ?? [...name][0];
  const made = element('span', 'avatar', initial.toUpperCase());
  made.setAttribute('aria-hidden', 'true');
  return made;
}

function personName(className, name) {
  const made = element('span', className, name);
  made.dir = 'auto';
  made.title = name;
  return made;
}

function timeOf(seconds) {
  const date = new Date(seconds * 1000);
  const made = element('time', '', '');
  if (Number.isNaN(date.getTime()))
    return made;
  const day = date.toDateString() === new Date().toDateString() ? {} : { month: 'short', day: 'numeric' };
  made.textContent = date.toLocaleString([], { ...day, hour: '2-digit', minute: '2-digit' });
  made.dateTime = date.toISOString();
  made.title = date.toLocaleString();
  return made;
}

function duration(seconds) {
  if (seconds < 60)
    return `${seconds} s`;
  if (seconds < 3600)
    return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

/* A refusal in words; a plugin's own words are shown as they are. */
function reasonOf(reply) {
  switch (reply.err) {
  case 'messageTooLong': return `This message is too long${reply.max ? `: ${reply.max} bytes are allowed` : ''}.`;
  case 'rejected': return `Not accepted${reply.by ? ` by ${reply.by}` : ''}.`;
  case 'pluginUnavailable':
  case 'unavailable': return 'The server could not take this just now. Please try again.';
  case 'tooManyRooms': return 'The server has no place for another room just now.';
  case 'unknown':
  case 'unsure': return 'The connection was away for long: this may have been sent already.';
  case 'nameMissing': return 'Please give a name.';
  case 'nameTooLong': return 'This name is too long.';
  case 'nameInvalid': return 'This name has characters that nobody could see. Please choose another.';
  }
  const words = reply.err ?? reply.error ?? reply.comment ?? reply.status ?? 'Not accepted.';
  return typeof words === 'string' ? words : JSON.stringify(words);
}

/* The list of messages: at most MOST_SHOWN, and it stays where the reader is unless that is the bottom. */
class MessageList {
  constructor(box, newerButton) {
    this.box = box;
    this.button = newerButton;
    this.shown = new WeakMap(); /* element to message */
    this.following = true;
    this.unseen = 0;
    this.me = undefined;
    box.addEventListener('scroll', () => {
      this.following = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_BOTTOM_PX;
      if (this.following)
        this.countUnseen(0);
    });
    newerButton.addEventListener('click', () => {
      this.follow();
      box.focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.following && this.follow()).observe(box);
  }

  replace(messages) {
    this.box.setAttribute('aria-busy', 'true'); /* history is not read out */
    this.box.replaceChildren();
    messages.forEach((message) => this.draw(message));
    this.follow();
    this.box.dataset.ready = '';
    this.box.setAttribute('aria-busy', 'false');
  }

  add(messages) {
    const follow = this.following;
    messages.forEach((message) => this.draw(message));
    if (follow)
      this.follow();
    else
      this.countUnseen(this.unseen + messages.filter((message) => !message.ev).length);
  }

  follow() {
    this.box.scrollTop = this.box.scrollHeight;
    this.following = true;
    this.countUnseen(0);
  }

  countUnseen(number) {
    this.unseen = number;
    this.button.hidden = number === 0;
    this.button.textContent = `↓ ${count(number, 'new message', 'new messages')}`;
  }

  draw(message) {
    if (message.ev === 'presence')
      return; /* the people's panel shows it */
    if (message.ev === 'rmUserMsg')
      this.removeUser(message.data);
    else if (message.ev === 'rmMsg')
      this.removeMessage(message.data);
    this.box.append(message.ev ? this.drawEvent(message) : this.drawSaid(message));
    this.group(this.box.lastChild);
    while (this.box.childElementCount > MOST_SHOWN)
      this.drop(this.box.firstChild);
  }

  drawSaid(message) {
    const name = nameOf(message.user, message.sub);
    const made = element('div', 'message');
    const said = element('div', 'said');
    const meta = element('div', 'meta');
    const text = element('div', 'text', message.msg);
    text.dir = 'auto';
    text.classList.toggle('emoji', ONLY_EMOJI.test(message.msg));
    meta.append(personName('who', name), timeOf(message.d));
    said.append(meta, text);
    made.append(avatar(name), said);
    made.style.setProperty('--hue', hueOf(name));
    made.classList.toggle('own', this.me !== undefined && message.sub === this.me);
    this.shown.set(made, message);
    return made;
  }

  drawEvent(message) {
    const made = element('div', 'event');
    const who = (name) => element('bdi', '', name);
    if (message.ev === 'join' || message.ev === 'leave')
      made.append(who(nameOf(message.user, message.sub)), message.ev === 'join' ? ' joined' : ' left');
    else if (message.ev === 'rmUserMsg')
      made.append('What ', who(String(message.data)), ' said was removed');
    else if (message.ev === 'rmMsg')
      made.append('A message was removed');
    else
      made.append(who(`${message.ev} ${JSON.stringify(message.data ?? '')}`.slice(0, 300)));
    made.append(' · ', timeOf(message.d));
    return made;
  }

  /* Whoever goes on talking is not named again. */
  group(node) {
    const before = node?.previousElementSibling;
    const [a, b] = [this.shown.get(before), this.shown.get(node)];
    if (b)
      node.classList.toggle('more', Boolean(a) && a.sub === b.sub && b.d - a.d < TOGETHER_S &&
        nameOf(a.user, a.sub) === nameOf(b.user, b.sub));
  }

  /* What is above the reader may not move what is read. */
  drop(node) {
    const { nextElementSibling: next } = node;
    const { lastElementChild: last } = this.box;
    const top = (some) => some.getBoundingClientRect().top;
    const above = !this.following && next && top(next) <= top(this.box);
    const before = above && top(last);
    node.remove();
    this.group(next);
    if (above)
      this.box.scrollTop += top(last) - before;
  }

  removeUser(who) {
    for (const node of [...this.box.children]) {
      const message = this.shown.get(node);
      if (message && (message.sub === who || message.user?.name === who))
        this.drop(node);
    }
  }

  removeMessage(data) {
    const { i, o } = data ?? {};
    for (const node of [...this.box.children]) {
      const message = this.shown.get(node);
      if (message && (message.i === i || message.o === o))
        this.drop(node);
    }
  }

  setMe(identity) {
    this.me = identity;
    for (const node of this.box.children)
      node.classList.toggle('own', identity !== undefined && this.shown.get(node)?.sub === identity);
  }
}

/* The line above the composer. A ban, while it lasts, is more important than anything else. */
class Notice {
  constructor() {
    this.banEnds = 0;
    this.show('');
  }

  show(text, kind = 'info') {
    this.text = text;
    this.kind = kind;
    this.draw();
  }

  ban(seconds) {
    clearInterval(this.ticking);
    this.banEnds = seconds < 0 ? Infinity : Date.now() + seconds * 1000;
    if (seconds > 0)
      this.ticking = setInterval(() => this.draw(), 1000);
    this.draw();
  }

  unban() {
    clearInterval(this.ticking);
    this.banEnds = 0;
    this.draw();
  }

  draw() {
    const left = Math.max(0, Math.ceil((this.banEnds - Date.now()) / 1000));
    const forEver = this.banEnds === Infinity;
    const text = this.banEnds ? `You are banned from this room${forEver ? '.' : ' for another'}` : this.text;
    if (at('notice-text').textContent !== text)
      at('notice-text').textContent = text;
    at('notice-time').textContent = this.banEnds && !forEver ? duration(left) : '';
    at('notice').dataset.kind = this.banEnds ? 'error' : this.kind;
    at('notice').hidden = !text;
  }
}

function drawPeople({ clients, users, subCount, pubCount }) {
  const people = clients.map((user) => {
    const name = nameOf(user);
    const made = element('li', '');
    made.append(avatar(name), personName('person', name));
    made.style.setProperty('--hue', hueOf(name));
    return made;
  });
  if (pubCount > clients.length)
    people.push(element('li', 'more', `and ${pubCount - clients.length} more`));
  at('users').replaceChildren(...people);
  const guests = Math.max(0, subCount - pubCount);
  at('counts').textContent = count(users, 'person', 'people') + (guests ? `, ${count(guests, 'guest', 'guests')}` : '');
}

/* ================================ 3. Together ================================ */

function main() {
  const room = new URLSearchParams(location.search).get('room') || 'lobby';
  const list = new MessageList(at('messages'), at('newer'));
  const notice = new Notice();
  const text = at('text');
  let peopleTimer = 0;

  at('room').value = room;
  document.title = `${room} · ChatUp`;

  async function refreshPeople() {
    clearTimeout(peopleTimer);
    peopleTimer = setTimeout(refreshPeople, 20000);
    await askStats(room, MOST_NAMES).then(drawPeople, () => {}); /* the next one may work */
  }

  /* A little chance in it: not every page of a big room should ask at the same moment. */
  function refreshPeopleSoon() {
    clearTimeout(peopleTimer);
    peopleTimer = setTimeout(refreshPeople, 200 + Math.random() * 400);
  }

  function fitText() {
    text.style.height = 'auto';
    text.style.height = `${text.scrollHeight}px`;
  }

  function showForm(name) {
    at('name-form').hidden = Boolean(name);
    at('composer').hidden = !name;
    at('me').textContent = name;
    fitText();
  }

  function setSpeech(allowed) {
    text.disabled = at('send').disabled = !allowed;
  }

  async function enter(name) {
    at('enter').disabled = true;
    try {
      list.setMe(await chat.enter(name));
      sessionStorage.setItem('name', name);
      notice.show('');
      showForm(name);
      text.focus();
    } catch (error) {
      notice.show(error.status ? reasonOf({ err: error.message }) : 'The server cannot be reached just now.', 'error');
    }
    at('enter').disabled = false;
  }

  function askName(why) {
    sessionStorage.removeItem('name');
    list.setMe(undefined);
    notice.unban();
    notice.show(why, 'error');
    setSpeech(true);
    showForm('');
    at('name').focus();
  }

  const chat = new Chat(room, {
    state(state) {
      if (at('status').dataset.state !== state && state === 'connected')
        refreshPeopleSoon();
      at('status').dataset.state = state;
      at('status').textContent = STATES[state];
    },
    history(messages, missed) {
      list.replace(messages);
      if (missed)
        notice.show('You were away; some messages may be missing.');
    },
    messages(messages) {
      list.add(messages);
      if (messages.some(({ ev }) => ev === 'join' || ev === 'leave' || ev === 'presence'))
        refreshPeopleSoon();
    },
    refused(reason) {
      notice.show(`This room cannot be opened: ${reason}`, 'error');
      setSpeech(false);
    },
    joined() {
      notice.unban();
      setSpeech(true);
      list.setMe(chat.identity());
    },
    banned(seconds) {
      notice.ban(seconds);
      setSpeech(false);
    },
    waiting(number) {
      at('pending').textContent = number ? `Sending ${count(number, 'message', 'messages')}…` : '';
    },
    rejected(back, reply) {
      text.value = [back, text.value].filter(Boolean).join('\n');
      fitText();
      if (reply && reply.err !== 'banned') /* banned() tells that, while it lasts */
        notice.show(reasonOf(reply), 'error');
    },
    nameRefused: (err) => askName(reasonOf({ err })),
  });

  at('name-form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (at('name').value.trim())
      enter(at('name').value.trim());
  });
  at('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    const said = text.value.trim();
    if (!said)
      return;
    text.value = '';
    fitText();
    notice.show('');
    list.follow();
    chat.say(said);
    text.focus();
  });
  text.addEventListener('input', fitText);
  text.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing)
      return;
    event.preventDefault();
    at('composer').requestSubmit();
  });
  at('rename').addEventListener('click', () => {
    chat.leave();
    askName('');
    at('name').select();
  });

  const remembered = sessionStorage.getItem('name'); /* of this tab: two tabs are two people */
  at('name').value = remembered ?? '';
  if (remembered)
    enter(remembered);
}

main();
