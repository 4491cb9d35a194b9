import type { Env } from './env.js';
import type { PublicUser, Worker } from './types.js';
export interface Joined extends Worker {
    channel: {
        subCount: number;
        pubCount: number;
    };
    epoch: string;
    offset: number;
    messages: WireMessage[];
}
/** A message as the server sends it. */
export interface WireMessage {
    o?: number;
    user?: unknown;
    sub?: string;
    msg?: string;
    ev?: string;
    data?: unknown;
    i: string;
    d: number;
}
export declare const isObject: (value: unknown) => value is Record<string, unknown>;
/** One question. Rejects with a ChatUpError: `httpStatus` is that of ChatUp's answer; without one there was none. */
export declare function ask(env: Env, url: string, token: string | undefined, init?: RequestInit): Promise<any>;
export declare class Dispatcher {
    private readonly env;
    private readonly url;
    constructor(env: Env, url: string);
    private at;
    /** `failed`: a worker that is not to be handed out again, and how it failed. */
    join(channel: string, token: string | undefined, failed?: {
        type: string;
        id: string;
    }): Promise<Joined>;
    stats(channel: string, token: string | undefined, limit: number, skip: number): Promise<{
        subCount: number;
        pubCount: number;
        users: number;
        clients: PublicUser[];
    }>;
}
/** A URL of a worker; on a page that came by TLS, what it opens has to use it as well. */
export declare function workerUrl(env: Env, host: string, path: string, scheme: 'http' | 'ws'): string;
