/* Who is here: counts in the head, names in a list that narrow places hide behind a button. */
import type { Stats, Users } from '../types.js';
import { avatar, element, nameOf, personName, setHue } from './dom.js';
import type { Texts } from './texts.js';

export class People {
  readonly node: HTMLElement;
  readonly toggle: HTMLButtonElement;
  private readonly list = element('ul', 'chatup-users');
  private readonly counts = element('span', 'chatup-counts');

  constructor(private readonly texts: Texts, id: string) {
    const heading = element('h3', 'chatup-people-title', texts.people);
    heading.id = `${id}-people-title`;
    this.counts.dir = 'auto';
    this.list.setAttribute('aria-labelledby', heading.id);
    this.node = element('aside', 'chatup-people', '', heading, this.list);
    this.node.id = `${id}-people`;
    this.node.setAttribute('aria-labelledby', heading.id);
    this.toggle = element('button', 'chatup-people-toggle', '', this.counts);
    this.toggle.type = 'button';
    this.toggle.setAttribute('aria-controls', this.node.id);
    this.toggle.addEventListener('click', () => this.open(this.toggle.getAttribute('aria-expanded') !== 'true'));
    this.open(false);
  }

  private open(open: boolean): void {
    this.node.dataset.open = String(open);
    this.toggle.setAttribute('aria-expanded', String(open));
    this.toggle.title = open ? this.texts.hidePeople : this.texts.showPeople;
  }

  count({ pubCount, subCount }: Stats): void {
    this.counts.textContent = this.texts.counts(pubCount, Math.max(0, subCount - pubCount));
  }

  draw({ clients, pubCount }: Users): void {
    const people: HTMLElement[] = clients.map((user) => {
      const name = nameOf(user ?? {}, undefined, this.texts.somebody);
      const made = element('li', 'chatup-user', '', avatar(name), personName('chatup-person', name));
      setHue(made, name);
      return made;
    });
    if (pubCount > clients.length)
      people.push(element('li', 'chatup-others', this.texts.more(pubCount - clients.length)));
    this.list.replaceChildren(...people);
  }
}
