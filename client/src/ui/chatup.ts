/* ChatUp: a room to look at, in an element of your page. It draws what ChatUpProtocol tells, and knows no sockets. */
import { ChatUpError } from '../error.js';
import { ChatUpProtocol } from '../protocol.js';
import type { AuthReply, Ban, ClientPlugin, Conf, Gap, SayReply, Status } from '../types.js';
import { element, nameOf } from './dom.js';
import { MessageList } from './messages.js';
import { Notice } from './notice.js';
import { People } from './people.js';
import { defaultTexts, type Texts } from './texts.js';

const MOST_NAMES = 100;

export interface ChatUpConf extends Conf {
  /** Shown above the room. Default: its name. */
  title?: string;
  /** With it, guests are asked for a name; it gives the token for that name. */
  signIn?: (name: string) => string | Promise<string>;
  /** Whether the list of people is there. Default true. */
  showUsers?: boolean;
  /** How many messages stay in the page. Default 500. */
  maxMessages?: number;
  /** Words of your own, or of your language. */
  texts?: Partial<Texts>;
}

let made = 0;

export class ChatUp {
  readonly protocol: ChatUpProtocol;
  private readonly root: HTMLElement;
  private readonly texts: Texts;
  private readonly list: MessageList;
  private readonly notice = new Notice();
  private readonly people: People;
  private readonly statusNode = element('p', 'chatup-status');
  private readonly guestForm = element('form', 'chatup-sign-in');
  private readonly nameInput = element('input', '');
  private readonly composer = element('form', 'chatup-composer');
  private readonly input = element('textarea', 'chatup-input');
  private readonly sendButton = element('button', 'chatup-send');
  private readonly meNode = element('b', 'chatup-me');
  private readonly pendingNode = element('span', 'chatup-pending');
  private readonly id = `chatup-${++made}`;
  private pending = 0;
  private muted = false; /* by a ban, or a pause */
  private peopleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly el: HTMLElement, private readonly conf: ChatUpConf = {}) {
    const texts = this.texts = { ...defaultTexts, ...conf.texts };
    this.protocol = new ChatUpProtocol(conf);
    this.list = new MessageList(texts, conf.maxMessages ?? 500, (text, message) => this.protocol.rendered(text, message));
    this.people = new People(texts, this.id);

    const title = element('h2', 'chatup-title', conf.title ?? this.protocol.room);
    title.id = `${this.id}-title`;
    title.dir = 'auto';
    this.statusNode.setAttribute('role', 'status');
    this.buildGuestForm();
    this.buildComposer();
    const head = element('header', 'chatup-head', '', title, this.people.toggle, this.statusNode);
    const body = element('div', 'chatup-body', '', this.list.node);
    if (conf.showUsers !== false)
      body.append(this.people.node);
    else
      this.people.toggle.disabled = true;
    this.root = element('section', 'chatup', '', head, body, this.notice.node, this.guestForm, this.composer);
    this.root.setAttribute('aria-labelledby', title.id);
    el.replaceChildren(this.root);
    this.listen();
    this.onStatus(this.protocol.status);
    this.showForm();
  }

  get _protocol(): ChatUpProtocol { return this.protocol; } /* as the original's example called it */

  init(): Promise<void> {
    return this.protocol.init();
  }

  /** Speak as whoever jwt, or else `conf.jwt` or `conf.getToken`, is about. */
  async authenticate(jwt?: string): Promise<AuthReply> {
    if (jwt !== undefined)
      this.conf.jwt = jwt;
    try {
      return await this.protocol.authenticate();
    } finally {
      this.showForm();
    }
  }

  unauthenticate(): void {
    this.protocol.unauthenticate();
    this.showForm();
  }

  say(text: string): Promise<SayReply> {
    return this.protocol.say(text);
  }

  use(plugin: ClientPlugin): this {
    this.protocol.use(plugin);
    return this;
  }

  /** Close the connections and empty the element. */
  destroy(): void {
    clearTimeout(this.peopleTimer);
    this.notice.endCountdown();
    this.protocol.close();
    this.list.destroy();
    this.el.replaceChildren();
  }

  /* ---- forms ---- */

  private buildGuestForm(): void {
    const { texts, conf, nameInput, guestForm } = this;
    if (!conf.signIn) {
      guestForm.append(element('p', 'chatup-hint', texts.guest));
      return;
    }
    const label = element('label', 'chatup-hint', texts.chooseName);
    nameInput.id = label.htmlFor = `${this.id}-name`;
    nameInput.dir = 'auto';
    nameInput.required = true;
    nameInput.maxLength = 40;
    nameInput.placeholder = texts.yourName;
    nameInput.setAttribute('autocomplete', 'nickname');
    nameInput.spellcheck = false;
    guestForm.append(label, element('div', 'chatup-field', '', nameInput, element('button', 'chatup-enter', texts.enter)));
    guestForm.addEventListener('submit', (event) => {
      event.preventDefault();
      if (nameInput.value.trim())
        this.signIn(nameInput.value.trim());
    });
  }

  /** What the form for a name does: needs `conf.signIn`. Whether it worked. */
  async signIn(name: string): Promise<boolean> {
    this.nameInput.value = name;
    this.guestForm.inert = true;
    try {
      await this.authenticate(await this.conf.signIn!(name));
      this.notice.show('');
      return true;
    } catch (error) {
      this.conf.jwt = undefined;
      this.showError(error);
      return false;
    } finally {
      this.guestForm.inert = false;
      this.showForm();
    }
  }

  private buildComposer(): void {
    const { texts, input, sendButton, composer } = this;
    input.rows = 1;
    input.dir = 'auto';
    input.placeholder = texts.write;
    input.autocomplete = 'off';
    input.enterKeyHint = 'send';
    input.setAttribute('aria-label', texts.message);
    sendButton.setAttribute('aria-label', texts.send);
    sendButton.title = texts.send;
    this.meNode.dir = 'auto';
    this.pendingNode.setAttribute('role', 'status');
    const leave = element('button', 'chatup-leave', texts.leave);
    leave.type = 'button';
    leave.addEventListener('click', () => {
      this.unauthenticate();
      this.nameInput.focus();
    });
    const who = element('span', 'chatup-you', '', `${texts.youAre} `, this.meNode);
    composer.append(element('div', 'chatup-field', '', input, sendButton),
                    element('p', 'chatup-hint', '', who, ...(this.conf.signIn ? [leave] : []), this.pendingNode));
    composer.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    input.addEventListener('input', () => this.fitInput());
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing)
        return;
      event.preventDefault();
      composer.requestSubmit();
    });
  }

  private fitInput(): void {
    this.input.style.height = 'auto';
    this.input.style.height = `${this.input.scrollHeight}px`;
  }

  private async submit(): Promise<void> {
    const text = this.input.value.trim();
    if (!text || this.muted)
      return;
    this.input.value = '';
    this.fitInput();
    this.notice.show('');
    this.list.seen();
    this.list.follow();
    this.input.focus();
    this.countPending(1);
    try {
      const reply = await this.say(text);
      if (reply.offset === undefined && typeof reply.message === 'string')
        this.notice.show(reply.message); /* a plugin of the server took it */
    } catch (error) {
      this.input.value = [text, this.input.value].filter(Boolean).join('\n');
      this.fitInput();
      this.showError(error);
    }
    this.countPending(-1);
  }

  private countPending(change: number): void {
    this.pending += change;
    this.pendingNode.textContent = this.pending ? this.texts.sending(this.pending) : '';
  }

  private showForm(): void {
    const { me } = this.protocol;
    this.guestForm.hidden = me !== undefined;
    this.composer.hidden = me === undefined;
    this.meNode.textContent = me ? nameOf(me.user, me.sub, this.texts.somebody) : '';
    this.list.setMe(me?.sub);
    this.fitInput();
  }

  private setMuted(muted: boolean): void {
    this.muted = muted;
    this.input.disabled = this.sendButton.disabled = muted;
  }

  /* ---- what the protocol tells ---- */

  private listen(): void {
    const { protocol, list, texts } = this;
    list.begin();
    protocol.on('status', (status) => this.onStatus(status));
    protocol.on('message', (message) => list.addMessage(message));
    protocol.on('event', (event) => {
      list.addEvent(event);
      if (event.channel === protocol.room && ['join', 'leave', 'presence'].includes(event.ev))
        this.lookWhoIsHereSoon();
    });
    protocol.on('userCount', (stats) => {
      this.people.count(stats);
      this.lookWhoIsHereSoon();
    });
    protocol.on('gap', (gap) => this.onGap(gap));
    protocol.on('banned', (ban) => this.onBanned(ban));
    protocol.on('unbanned', () => {
      this.notice.show('');
      this.notice.endCountdown();
      this.setMuted(false);
    });
    protocol.on('kicked', () => {
      this.notice.show(texts.kicked, 'error');
      this.showForm();
    });
    protocol.on('error', (error) => {
      this.showForm();
      this.showError(error);
    });
  }

  private onStatus(status: Status): void {
    this.root.dataset.status = status;
    this.statusNode.textContent = this.texts.status[status];
    this.statusNode.title = this.protocol._worker ? this.protocol._worker.host : '';
    if (status === 'connected' || status === 'authenticated' || status === 'authError') {
      this.list.ready();
      this.showForm();
      this.lookWhoIsHereSoon();
    }
  }

  /* What the history has no more was removed meanwhile; what it has, and is not shown yet, comes as messages. */
  private onGap({ channel, messages }: Gap): void {
    const first = messages.find(({ o }) => o !== undefined)?.o ?? Infinity;
    const known = new Set(messages.map(({ i }) => i));
    this.list.remove((message) => message.channel === channel && (message.o ?? 0) >= first && !known.has(message.i));
    this.list.addLine(this.texts.gap);
  }

  private onBanned({ ttl, reason }: Ban): void {
    const { texts } = this;
    const because = reason ? texts.reason(reason) : '';
    this.setMuted(true);
    if (ttl < 0)
      this.notice.show(`${texts.banned} ${because}`.trim(), 'error');
    else
      this.notice.countDown(ttl, texts.bannedFor, because, () => {});
  }

  private showError(error: unknown): void {
    const { texts } = this;
    if (!(error instanceof ChatUpError)) {
      this.notice.show(error instanceof Error ? error.message : String(error), 'error');
    } else if (error.err === 'rateLimited' && error.ttw) {
      this.setMuted(true);
      this.notice.countDown(Math.ceil(error.ttw), texts.tooFast, '', () => this.setMuted(this.protocol.ban !== undefined));
    } else if (error.err !== 'banned') { /* onBanned tells that, while it lasts */
      this.notice.show(texts.error(error), 'error');
    }
  }

  /* A little chance in it: not every page of a big room should ask at the same moment. */
  private lookWhoIsHereSoon(): void {
    if (this.conf.showUsers === false)
      return;
    clearTimeout(this.peopleTimer);
    this.peopleTimer = setTimeout(() => {
      this.protocol.getUsers({ limit: MOST_NAMES }).then((users) => this.people.draw(users), () => {}); /* next time */
    }, 200 + Math.random() * 400);
  }
}
