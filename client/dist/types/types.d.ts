/** What others see of a user: the claim `_public` of a token, or `user` of a POST /post. */
export interface PublicUser {
    name?: string;
    [claim: string]: unknown;
}
interface Entry {
    /** The room, or additional channel, that it came by. */
    channel: string;
    /** Id, a UUID. */
    i: string;
    /** When, in seconds since 1970, with milliseconds. */
    d: number;
    /** The same, as a Date. */
    date: Date;
    /** Offset in the channel: 1, 2, 3 …; join, leave and presence events have none. */
    o?: number;
    /** Identity of who sent it: verified by the server, unlike the name. */
    sub?: string;
}
export interface Message extends Entry {
    /** The text. Show it as text, never as HTML. */
    msg: string;
    /** Always an object: a `user` that your server posted as text is `{ name: text }`. */
    user: PublicUser;
}
export interface ChatEvent extends Entry {
    /** `join`, `leave`, `presence`, `rmUserMsg`, `rmMsg`, or one of your own. */
    ev: string;
    data?: unknown;
    user: PublicUser;
}
export type Status = 'disconnected' | 'connecting' | 'gettingWorker' | 'connected' | 'authenticated' | 'subConnectError' | 'pubConnectError' | 'workerSwitch' | 'noWorker' | 'dispatcherError' | 'authError';
/** How messages come: tried in this order. */
export type Transport = 'websocket' | 'eventsource' | 'longpolling';
export interface Stats {
    msgSent: number;
    msgReceived: number;
    /** Milliseconds from the last say() to its answer; 0 before the first. */
    latency: number;
    /** Connections that speak, and connections that read, guests among them. */
    pubCount: number;
    subCount: number;
}
export interface Users {
    clients: PublicUser[];
    pubCount: number;
    subCount: number;
    /** Different people among those that speak. */
    users: number;
}
export interface SayReply {
    status: 'ok';
    /** Id and offset of the message; absent where a plugin of the server kept it from the room. */
    i?: string;
    offset?: number;
    epoch?: string;
    [more: string]: unknown;
}
/** A ban that holds: seconds left, -1 for ever. */
export interface Ban {
    ttl: number;
    reason?: string;
}
export interface AuthReply {
    status: 'ok';
    /** You may not speak, for `banTTL` seconds more: -1 is for ever. */
    comment?: 'banned';
    banTTL?: number;
    reason?: string;
}
export interface Worker {
    host: string;
    id: string;
    [more: string]: unknown;
}
export interface Gap {
    channel: string;
    /** The whole history, oldest first. Those not seen before also come as messages and events, after this. */
    messages: (Message | ChatEvent)[];
}
/** Events of `on()`. */
export interface Events {
    message: Message;
    event: ChatEvent;
    status: Status;
    userCount: Stats;
    /** A way to read was settled on. */
    transport: Transport;
    /** After being away it could not be proven that nothing was missed (the server's `recovered: false`). */
    gap: Gap;
    /** You may not speak, or may again. */
    banned: Ban;
    unbanned: undefined;
    /** Your connections were closed by a moderator; reading goes on, speaking after authenticate(). */
    kicked: undefined;
    /** Something failed that no promise tells: a plugin's hook, a channel that may not be read. */
    error: Error;
}
/** What a hook of a plugin may look at. */
export interface PluginContext {
    readonly room: string;
    /** Identity and public part of who speaks here, from the token; undefined for guests. */
    readonly me: Me | undefined;
}
export interface Me {
    sub?: string;
    user: PublicUser;
}
/** A plugin of the client. All hooks are optional; one that throws is left out that once, and told of by `error`. */
export interface ClientPlugin {
    name: string;
    /** Before a message is sent, in the order of use(): return the text to send, or false to send nothing. */
    beforeSay?(text: string, context: PluginContext): string | false | void | Promise<string | false | void>;
    /** On each message, before handlers: return another one, or false to show nothing. */
    onMessage?(message: Message, context: PluginContext): Message | false | void;
    /** On each event, likewise. */
    onEvent?(event: ChatEvent, context: PluginContext): ChatEvent | false | void;
    /** After the ChatUp class has drawn a message: `text` holds its text, as one text node. */
    onRender?(text: HTMLElement, message: Message, context: PluginContext): void;
}
export interface Conf {
    /** Where /join and /stats are. Relative to the page, or a URL. Default `/dispatcher`. */
    dispatcherURL?: string;
    /** Default `roomDefault`. */
    room?: string;
    /** Channels to read beside the room. */
    additionalChannels?: string[];
    /** Token of the user. May be set later, before authenticate(). Without one: a guest, who reads. */
    jwt?: string | undefined;
    /** Gives a fresh token: when there is none yet, when it is about to expire, and when it was refused. */
    getToken?: (() => string | Promise<string>) | undefined;
    socketIO?: {
        /** Milliseconds that a connection may take to open. Default 5000. */
        timeout?: number;
        /** How often speaking is tried again on one worker before another one is asked for. Default 3. */
        reconnectionAttempts?: number;
        /** Options of the original that mean nothing here are taken, and ignored. */
        [ignored: string]: unknown;
    };
    /** Milliseconds between looks at how many are there. Default 20000, 0 for never. */
    userCountRefreshTimeout?: number;
    /** Ways to read, in order. Default all three. */
    transports?: Transport[];
    /** Milliseconds after which a say() without an answer is given up. Default 120000, at most 280000. */
    sayTimeout?: number;
    /** For programs that have no WebSocket of their own (Node 20): `ws`, or another one with the browser's interface. */
    WebSocket?: unknown;
}
export {};
