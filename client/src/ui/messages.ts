/* The list of messages: a bounded number of them, and it stays where its reader is unless that is the bottom. */
import type { ChatEvent, Message } from '../types.js';
import { avatar, element, nameOf, personName, setHue, timeOf } from './dom.js';
import type { Texts } from './texts.js';

const TOGETHER_S = 300; /* what one person says within this time stands together */
const NEAR_BOTTOM_PX = 40;
const ONLY_EMOJI = /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}|\p{Emoji_Modifier}|\u200d|\ufe0f){1,8}$/u;

export class MessageList {
  readonly node: HTMLElement;
  private readonly box: HTMLElement;
  private readonly button: HTMLButtonElement;
  private readonly shown = new WeakMap<Element, Message>();
  private readonly watch: ResizeObserver;
  private readonly onVisible = () => { if (!document.hidden) this.look(); };
  private following = true;
  private unseen = 0;
  private marker: HTMLElement | undefined; /* before what nobody has looked at */
  private me: string | undefined;

  constructor(private readonly texts: Texts, private readonly most: number,
              private readonly onRender: (text: HTMLElement, message: Message) => void) {
    this.box = element('div', 'chatup-messages');
    this.box.setAttribute('role', 'log');
    this.box.setAttribute('aria-live', 'polite');
    this.box.setAttribute('aria-label', texts.messages);
    this.box.tabIndex = 0;
    this.box.dataset.empty = texts.empty;
    this.button = element('button', 'chatup-newer');
    this.button.type = 'button';
    this.button.hidden = true;
    this.node = element('div', 'chatup-log', '', this.box, this.button);
    this.box.addEventListener('scroll', () => {
      this.following = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR_BOTTOM_PX;
      this.look();
    });
    this.button.addEventListener('click', () => {
      this.follow();
      this.box.focus({ preventScroll: true });
    });
    document.addEventListener('visibilitychange', this.onVisible);
    this.watch = new ResizeObserver(() => this.following && this.follow());
    this.watch.observe(this.box);
  }

  destroy(): void {
    this.watch.disconnect();
    document.removeEventListener('visibilitychange', this.onVisible);
  }

  /** What is drawn until ready() is old: it is not read out, and not new to anybody. */
  begin(): void {
    this.box.setAttribute('aria-busy', 'true');
  }

  ready(): void {
    this.box.setAttribute('aria-busy', 'false');
    this.box.dataset.ready = '';
  }

  private get isOld(): boolean {
    return this.box.getAttribute('aria-busy') === 'true';
  }

  addMessage(message: Message): void {
    const isOwn = this.me !== undefined && message.sub === this.me;
    if (!this.isOld && !isOwn && (document.hidden || !this.following))
      this.markUnread();
    this.append(this.drawMessage(message));
    if (!this.following && !isOwn)
      this.countUnseen(this.unseen + 1);
  }

  addEvent(event: ChatEvent): void {
    if (event.ev === 'rmUserMsg')
      this.remove((message) => message.channel === event.channel && (message.sub === event.data || message.user.name === event.data));
    if (event.ev === 'rmMsg') {
      const { i, o } = (event.data ?? {}) as { i?: string; o?: number };
      this.remove((message) => message.channel === event.channel && (message.i === i || (o !== undefined && message.o === o)));
    }
    const line = this.drawEvent(event);
    if (line)
      this.append(line);
  }

  addLine(text: string): void {
    this.append(element('div', 'chatup-event chatup-gap', text));
  }

  remove(which: (message: Message) => boolean): void {
    for (const node of [...this.box.children]) {
      const message = this.shown.get(node);
      if (message && which(message))
        this.drop(node);
    }
  }

  /** To the newest message. */
  follow(): void {
    this.box.scrollTop = this.box.scrollHeight;
    this.following = true;
    this.countUnseen(0);
  }

  setMe(identity: string | undefined): void {
    this.me = identity;
    for (const node of this.box.children)
      node.classList.toggle('chatup-own', identity !== undefined && this.shown.get(node)?.sub === identity);
  }

  /* ---- what is new ---- */

  private look(): void {
    if (this.following && !document.hidden)
      this.countUnseen(0);
  }

  private markUnread(): void {
    if (this.marker)
      return;
    this.marker = element('div', 'chatup-unread', this.texts.unread);
    this.marker.setAttribute('role', 'separator');
    this.box.append(this.marker);
  }

  /** The line stays until something is said while one looks, and one has said something: see append(). */
  private countUnseen(number: number): void {
    this.unseen = number;
    this.button.hidden = number === 0;
    this.button.textContent = this.texts.newer(number);
  }

  /** What was marked as new has been read: one has said something, for one. */
  seen(): void {
    this.marker?.remove();
    this.marker = undefined;
  }

  /* ---- drawing ---- */

  private append(node: HTMLElement): void {
    const { following } = this;
    this.box.append(node);
    this.group(node);
    while (this.box.childElementCount > this.most)
      this.drop(this.box.firstElementChild!);
    if (following)
      this.follow();
  }

  private drawMessage(message: Message): HTMLElement {
    const name = nameOf(message.user, message.sub, this.texts.somebody);
    const text = element('div', 'chatup-text', message.msg);
    text.dir = 'auto';
    text.classList.toggle('chatup-emoji', ONLY_EMOJI.test(message.msg));
    const meta = element('div', 'chatup-meta', '', personName('chatup-who', name), timeOf(message.date));
    const made = element('div', 'chatup-message', '', avatar(name), element('div', 'chatup-said', '', meta, text));
    setHue(made, name);
    made.dataset.channel = message.channel;
    made.classList.toggle('chatup-own', this.me !== undefined && message.sub === this.me);
    this.shown.set(made, message);
    this.onRender(text, message);
    return made;
  }

  private drawEvent(event: ChatEvent): HTMLElement | undefined {
    const { texts } = this;
    const made = element('div', 'chatup-event');
    const who = element('bdi', '', nameOf(event.user, event.sub, texts.somebody));
    if (event.ev === 'join')
      made.append(who, ` ${texts.joined}`);
    else if (event.ev === 'leave')
      made.append(who, ` ${texts.left}`);
    else if (event.ev === 'rmUserMsg')
      made.append(element('bdi', '', texts.removedUser(String(event.data))));
    else if (event.ev === 'rmMsg')
      made.append(texts.removedMessage);
    else
      return undefined; /* presence is in the counts; what other events mean, their page knows */
    made.append(' · ', timeOf(event.date));
    return made;
  }

  /* Whoever goes on talking is not named again. */
  private group(node: Element | null): void {
    const message = node ? this.shown.get(node) : undefined;
    const before = node?.previousElementSibling ? this.shown.get(node.previousElementSibling) : undefined;
    if (message)
      node!.classList.toggle('chatup-more', before !== undefined && before.sub === message.sub &&
        message.d - before.d < TOGETHER_S && before.user.name === message.user.name && before.channel === message.channel);
  }

  /* What is above the reader may not move what is read. */
  private drop(node: Element): void {
    const { nextElementSibling: next } = node;
    const { lastElementChild: last } = this.box;
    const top = (some: Element) => some.getBoundingClientRect().top;
    const above = !this.following && next && last && top(next) <= top(this.box);
    const before = above ? top(last) : 0;
    if (node === this.marker)
      this.marker = undefined;
    node.remove();
    this.group(next);
    if (above)
      this.box.scrollTop += top(last) - before;
  }
}
