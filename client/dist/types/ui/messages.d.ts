import type { ChatEvent, Message } from '../types.js';
import type { Texts } from './texts.js';
export declare class MessageList {
    private readonly texts;
    private readonly most;
    private readonly onRender;
    readonly node: HTMLElement;
    private readonly box;
    private readonly button;
    private readonly shown;
    private readonly watch;
    private readonly onVisible;
    private following;
    private unseen;
    private marker;
    private me;
    constructor(texts: Texts, most: number, onRender: (text: HTMLElement, message: Message) => void);
    destroy(): void;
    /** What is drawn until ready() is old: it is not read out, and not new to anybody. */
    begin(): void;
    ready(): void;
    private get isOld();
    addMessage(message: Message): void;
    addEvent(event: ChatEvent): void;
    addLine(text: string): void;
    remove(which: (message: Message) => boolean): void;
    /** To the newest message. */
    follow(): void;
    setMe(identity: string | undefined): void;
    private look;
    private markUnread;
    /** The line stays until something is said while one looks, and one has said something: see append(). */
    private countUnseen;
    /** What was marked as new has been read: one has said something, for one. */
    seen(): void;
    private append;
    private drawMessage;
    private drawEvent;
    private group;
    private drop;
}
