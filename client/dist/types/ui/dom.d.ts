import type { PublicUser } from '../types.js';
export declare function element<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, className: string, text?: string, ...children: (Node | string)[]): HTMLElementTagNameMap[Tag];
export declare function nameOf(user: PublicUser, sub: string | undefined, otherwise: string): string;
export declare function avatar(name: string): HTMLElement;
export declare function setHue(node: HTMLElement, name: string): void;
export declare function personName(className: string, name: string): HTMLElement;
export declare function timeOf(date: Date): HTMLTimeElement;
