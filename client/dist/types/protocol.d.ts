import { type Joined } from './dispatcher.js';
import { type Env } from './env.js';
import type { AuthReply, Ban, ChatEvent, ClientPlugin, Conf, Events, Me, Message, SayReply, Stats, Status, Transport, Users } from './types.js';
export declare class ChatUpProtocol {
    private readonly conf;
    /** Read by the pages of the original: which worker, and whether speaking is possible. */
    get _worker(): Joined | undefined;
    get _pubConnected(): boolean;
    readonly stats: Stats;
    private readonly env;
    private readonly emitter;
    private readonly plugins;
    private readonly dispatcher;
    private readonly workers;
    private readonly reader;
    private readonly publisher;
    private readonly seen;
    private _status;
    private started;
    private isReady;
    private isClosed;
    private life;
    private tokenRefused;
    private kickedAt;
    private hooks;
    private readonly tokens;
    private countTimer;
    private endWake;
    /**
     * @param conf  kept, not copied: `jwt` may be set later
     * @param env   for tests: clock, network
     */
    constructor(conf?: Conf, env?: Partial<Env>);
    get room(): string;
    /** Who speaks here, as the token says; undefined for guests. */
    get me(): Me | undefined;
    get ban(): Ban | undefined;
    get transport(): Transport;
    get status(): Status;
    set status(status: Status);
    /** Begin to read, and with a token to speak. Resolves when it reads; rejects if that cannot be. */
    init(): Promise<void>;
    /** Enter the room as whoever `conf.jwt`, or `conf.getToken`, is about. Rejects if the server does not take it. */
    authenticate(): Promise<AuthReply>;
    /** Leave as a speaker, and read on as a guest. */
    unauthenticate(): void;
    /** Resolves once the message has its place in the room. Waits for a connection; rejects with a ChatUpError. */
    say(text: string): Promise<SayReply>;
    /** Who is there: `limit` (50, at most 1000) of them, after `skip`. */
    getUsers({ limit, skip }?: {
        limit?: number | undefined;
        skip?: number | undefined;
    }): Promise<Users>;
    onMsg(handler: (message: Message) => void): () => void;
    onEv(handler: (event: ChatEvent) => void): () => void;
    onStatusChange(handler: (status: Status) => void): () => void;
    onUserCountUpdate(handler: (stats: Stats) => void): () => void;
    /** Call handler at each such event. Returns what ends that. */
    on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void;
    off<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): void;
    use(plugin: ClientPlugin): this;
    /** For who draws messages: let plugins at what was drawn. */
    rendered(text: HTMLElement, message: Message): void;
    /** End it for good: says without an answer are rejected. */
    close(): void;
    private askWorker;
    private checkLife;
    private onJoined;
    private onFrame;
    private receiveAll;
    private entry;
    private receive;
    private countEvent;
    private count;
    private planCount;
    private onReader;
    private onReadRefused;
    private onSpeakRefused;
    private onKicked;
    private tell;
    private setStatus;
    private emit;
}
