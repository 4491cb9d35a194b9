import { ChatUpProtocol } from '../protocol.js';
import type { AuthReply, ClientPlugin, Conf, SayReply } from '../types.js';
import { type Texts } from './texts.js';
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
export declare class ChatUp {
    private readonly el;
    private readonly conf;
    readonly protocol: ChatUpProtocol;
    private readonly root;
    private readonly texts;
    private readonly list;
    private readonly notice;
    private readonly people;
    private readonly statusNode;
    private readonly guestForm;
    private readonly nameInput;
    private readonly composer;
    private readonly input;
    private readonly sendButton;
    private readonly meNode;
    private readonly pendingNode;
    private readonly id;
    private pending;
    private muted;
    private peopleTimer;
    constructor(el: HTMLElement, conf?: ChatUpConf);
    get _protocol(): ChatUpProtocol;
    init(): Promise<void>;
    /** Speak as whoever jwt, or else `conf.jwt` or `conf.getToken`, is about. */
    authenticate(jwt?: string): Promise<AuthReply>;
    unauthenticate(): void;
    say(text: string): Promise<SayReply>;
    use(plugin: ClientPlugin): this;
    /** Close the connections and empty the element. */
    destroy(): void;
    private buildGuestForm;
    /** What the form for a name does: needs `conf.signIn`. Whether it worked. */
    signIn(name: string): Promise<boolean>;
    private buildComposer;
    private fitInput;
    private submit;
    private countPending;
    private showForm;
    private setMuted;
    private listen;
    private onStatus;
    private onGap;
    private onBanned;
    private showError;
    private lookWhoIsHereSoon;
}
