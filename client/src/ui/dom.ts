/* Small pieces of a page. Text of users becomes textContent, and nothing else. */
import type { PublicUser } from '../types.js';

export function element<Tag extends keyof HTMLElementTagNameMap>(
    tag: Tag, className: string, text = '', ...children: (Node | string)[]): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  if (className)
    made.className = className;
  if (text)
    made.textContent = text;
  made.append(...children);
  return made;
}

export function nameOf(user: PublicUser, sub: string | undefined, otherwise: string): string {
  const name = user.name ?? sub;
  return typeof name === 'string' && name.trim() ? name : otherwise;
}

/** A colour of one's own, of 360: FNV-1a (Fowler, Noll, Vo) of the name, mixed once more. */
function hueOf(name: string): number {
  let hash = 2166136261;
  for (const char of name)
    hash = Math.imul(hash ^ char.codePointAt(0)!, 16777619);
  return (Math.imul(hash ^ (hash >>> 15), 2654435769) >>> 0) % 360;
}

export function avatar(name: string): HTMLElement {
  const initial = /[\p{L}\p{N}\p{Extended_Pictographic}]/u.exec(name)?.[0] ?? [...name][0] ?? '?';
  const made = element('span', 'chatup-avatar', initial.toUpperCase());
  made.setAttribute('aria-hidden', 'true');
  return made;
}

export function setHue(node: HTMLElement, name: string): void {
  node.style.setProperty('--chatup-hue', String(hueOf(name)));
}

export function personName(className: string, name: string): HTMLElement {
  const made = element('span', className, name);
  made.dir = 'auto';
  made.title = name;
  return made;
}

export function timeOf(date: Date): HTMLTimeElement {
  const made = element('time', 'chatup-time');
  if (Number.isNaN(date.getTime()))
    return made;
  const day = date.toDateString() === new Date().toDateString() ? {} : { month: 'short', day: 'numeric' } as const;
  made.textContent = date.toLocaleString([], { ...day, hour: '2-digit', minute: '2-digit' });
  made.dateTime = date.toISOString();
  made.title = date.toLocaleString();
  return made;
}
