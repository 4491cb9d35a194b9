import type { Joined } from './dispatcher.js';
import type { Env } from './env.js';
import { ChatUpError } from './error.js';
import type { AuthReply, Ban, SayReply } from './types.js';
import type { FailedAs } from './workers.js';
/** What a publisher needs of the protocol. */
export interface PublisherHost {
    findWorker(): Promise<Joined>;
    leaveWorker(worker: Joined, as: FailedAs): void;
    /** A token, asked for if there is none. Rejects with tokenUnavailable, or for good. */
    getToken(): Promise<string>;
    currentToken(): string | undefined;
    /** The server takes that one no more. */
    refuseToken(token: string | undefined): void;
    /** Whether the token is good, by HTTP. Rejects if not. */
    checkToken(token: string): Promise<void>;
    /** Websockets do not get through. */
    websocketsFail(): boolean;
    onJoined(): void;
    onLost(): void;
    onExpires(seconds: number): void;
    /** For good, because of the token or otherwise. told: by the promise of somebody who waits. */
    onRefused(error: ChatUpError, isToken: boolean, told: boolean): void;
    onBanned(ban: Ban): void;
    onUnbanned(): void;
    onKicked(): void;
    onSaid(milliseconds: number): void;
}
export declare class Publisher {
    private readonly env;
    private readonly room;
    private readonly timeout;
    private readonly attempts;
    private readonly host;
    /** In the room: what is said is sent at once. */
    joined: boolean;
    private banned;
    private wanted;
    private readonly outbox;
    private readonly retry;
    private waiting;
    private socket;
    private worker;
    private dialled;
    private lastId;
    private replies;
    private failures;
    private refusals;
    private lineToken;
    private joinedAt;
    private opening;
    private byHttp;
    private betterTimer;
    private posting;
    private readonly waits;
    private banTimer;
    constructor(env: Env, room: string, timeout: number, attempts: number, sayTimeout: number, host: PublisherHost);
    get isWanted(): boolean;
    /** The ban that holds, with the seconds that are left of it. */
    get ban(): Ban | undefined;
    /** Resolves once in the room; also if banned there. */
    start(): Promise<AuthReply>;
    stop(error: ChatUpError): void;
    say(text: string): Promise<SayReply>;
    wake(): void;
    /** Joining again tells whether the connection lives, and whether one is banned. */
    check(): void;
    /** Websockets get through again, perhaps. */
    tryWebSocket(): void;
    /** Send a fresh token of the same person. */
    refresh(token: string): void;
    private hangUp;
    private dial;
    private onDialFailed;
    private again;
    private refuse;
    private open;
    private down;
    private leave;
    private renew;
    private request;
    private take;
    private authenticate;
    private join;
    private onJoin;
    private joinedReply;
    private setBan;
    private transmit;
    private onSaid;
    private later;
    private post;
}
