import type { Joined } from './dispatcher.js';
import type { Env } from './env.js';
import { ChatUpError } from './error.js';
import type { Transport } from './types.js';
import type { FailedAs } from './workers.js';
import type { Frame } from './transports/transport.js';
export type ReaderState = 'connecting' | 'open' | 'lost' | 'stopped';
/** What a reader needs of the protocol. */
export interface ReaderHost {
    findWorker(): Promise<Joined>;
    leaveWorker(worker: Joined, as: FailedAs): void;
    /** The one to read with; undefined: as a guest. */
    token(): string | undefined;
    /** The server takes that token no more. Resolves when there is another, or none. */
    replaceToken(token: string | undefined): Promise<void>;
    /** Up to which offset it was told: all of it, unless a handler closed it. */
    onFrame(frame: Frame, isFirst: boolean): number | undefined;
    onState(state: ReaderState): void;
    onTransport(transport: Transport): void;
    onExpires(seconds: number): void;
    onKicked(): void;
    /** It failed, and will go on: told, so that somebody can read it. */
    onError(error: ChatUpError): void;
    /** It failed for good. */
    onRefused(error: ChatUpError): void;
}
export declare class Reader {
    private readonly env;
    private readonly room;
    private readonly additional;
    private readonly transports;
    private readonly timeout;
    private readonly host;
    state: ReaderState;
    private readonly positions;
    private readonly retry;
    private line;
    private dialled;
    private way;
    private betterTimer;
    private readonly worked;
    private failures;
    private shortLives;
    private lineToken;
    private onlyRoom;
    constructor(env: Env, room: string, additional: string[], transports: Transport[], timeout: number, host: ReaderHost);
    get transport(): Transport;
    /** Where the room's history, as /join told it, ends. */
    begin(epoch: string, offset: number): void;
    start(): void;
    /** Anew, such as with another token; from where it is. */
    restart(): void;
    /** With the present token it may read what it was refused before. */
    get isOutdated(): boolean;
    stop(): void;
    wake(networkChanged: boolean): void;
    /** Another token of the same person; who reads as a guest goes on so. */
    refresh(token: string): void;
    private tryBest;
    private hangUp;
    private become;
    private dial;
    /** Where a channel stands. */
    position(channel: string): {
        epoch: string;
        offset: number;
    } | undefined;
    private advance;
    private onNoWorker;
    private refuse;
    private onDown;
    private lost;
    private onPolicy;
    private chooseNext;
    private tryFrom;
}
