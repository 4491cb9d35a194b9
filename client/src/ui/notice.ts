/* The line above the composer. What counts down, a ban or a pause, is more important than anything else. */
import { element } from './dom.js';
import { duration } from './texts.js';

export class Notice {
  readonly node: HTMLElement;
  private readonly textNode = element('span', 'chatup-notice-text');
  private readonly timeNode = element('span', 'chatup-notice-time');
  private readonly moreNode = element('span', 'chatup-notice-text');
  private text = '';
  private kind = 'info';
  private countdown: { until: number; text: string; more: string; onEnd: () => void } | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;

  constructor() {
    this.textNode.dir = this.moreNode.dir = 'auto';
    this.timeNode.setAttribute('aria-live', 'off'); /* not read out each second */
    this.node = element('div', 'chatup-notice', '', this.textNode, this.timeNode, this.moreNode);
    this.node.setAttribute('role', 'status');
    this.draw();
  }

  show(text: string, kind: 'info' | 'error' = 'info'): void {
    this.text = text;
    this.kind = kind;
    this.draw();
  }

  /** Until its end, instead of what show() shows: text, the time that is left, and more. */
  countDown(seconds: number, text: string, more: string, onEnd: () => void): void {
    this.endCountdown();
    this.countdown = { until: Date.now() + seconds * 1000, text, more, onEnd };
    this.ticking = setInterval(() => this.draw(), 1000);
    this.draw();
  }

  endCountdown(): void {
    clearInterval(this.ticking);
    const { countdown } = this;
    this.countdown = undefined;
    countdown?.onEnd();
    this.draw();
  }

  private draw(): void {
    const { countdown } = this;
    const left = countdown ? Math.ceil((countdown.until - Date.now()) / 1000) : 0;
    if (countdown && left <= 0) {
      this.endCountdown();
      return;
    }
    /* The words stay the same, so that they are read out once; the time ticks beside them. */
    const text = countdown?.text ?? this.text;
    const more = countdown?.more ? ` · ${countdown.more}` : '';
    if (this.textNode.textContent !== text || this.moreNode.textContent !== more) {
      this.textNode.textContent = text;
      this.moreNode.textContent = more;
    }
    this.timeNode.textContent = countdown ? ` ${duration(left)}` : '';
    this.node.dataset.kind = countdown ? 'error' : this.kind;
    this.node.hidden = !text;
  }
}
