export declare class ChatUpError extends Error {
    name: string;
    readonly status = "error";
    readonly err: string;
    /** HTTP status, where ChatUp answered by HTTP. */
    readonly httpStatus?: number;
    /** Seconds that a ban lasts: -1 for ever. */
    readonly ttl?: number;
    /** Seconds to wait. */
    readonly ttw?: number;
    /** The most bytes that a message may have. */
    readonly max?: number;
    /** The plugin of the server that refused. */
    readonly by?: string;
    readonly reason?: string;
    /** Of a say() that was given up: whether it was sent, so that the room may have it. */
    readonly sent?: boolean;
    /** The answer as it came. */
    readonly reply: Record<string, unknown>;
    constructor(err: string, reply?: Record<string, unknown>);
}
/** The code in an answer: plugins of the original wrote `error`, or only a status. */
export declare function errorOf(reply: Record<string, unknown>): ChatUpError;
