import { type Env, type Timer } from './env.js';
import { ChatUpError } from './error.js';
import type { SayReply } from './types.js';
export interface Say {
    readonly text: string;
    readonly cid: string;
    /** When it was sent, the last time; 0: not yet. */
    sentAt: number;
    readonly resolve: (reply: SayReply) => void;
    readonly reject: (error: ChatUpError) => void;
    readonly timer: Timer;
}
export declare class Outbox {
    private readonly env;
    private readonly timeout;
    private says;
    constructor(env: Env, timeout: number);
    get all(): readonly Say[];
    add(text: string, onAdded: (say: Say) => void): Promise<SayReply>;
    has(say: Say): boolean;
    private take;
    resolve(say: Say, reply: SayReply): void;
    reject(say: Say, error: ChatUpError): void;
    rejectAll(error: ChatUpError, which?: (say: Say) => boolean): void;
}
