import type { Env } from './env.js';
import type { Conf } from './types.js';
export declare class Tokens {
    private readonly env;
    private readonly conf;
    private readonly onFresh;
    private readonly onError;
    private refused;
    private asking;
    private timer;
    private endsAt;
    private forgotten;
    /** onFresh: the server may be told of another token, before the present one ends. */
    constructor(env: Env, conf: Conf, onFresh: (token: string) => void, onError: (error: Error) => void);
    /** The one to use; undefined: none, for now at least. */
    get current(): string | undefined;
    get isPossible(): boolean;
    /** The server takes that one no more. */
    refuse(token: string | undefined): void;
    /** Try all of them again. */
    forgive(): void;
    forget(): void;
    stop(): void;
    /** Rejects with `notAuthenticated` if there is none to be had, with `tokenUnavailable` if there is none just now. */
    get(): Promise<string>;
    private ask;
    /** The present one ends in so many seconds: halfway there another one is asked for, and again if that fails. */
    onExpires(seconds: number): void;
    private plan;
}
