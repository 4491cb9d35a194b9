import type { WireMessage } from '../dispatcher.js';
import type { Env } from '../env.js';
/** As the server sends it; `epoch` and `recovered` are those of a first frame. */
export interface Frame {
    channel: string;
    offset: number;
    epoch?: string;
    recovered?: boolean;
    messages: WireMessage[];
}
export interface ReadRequest {
    host: string;
    channels: {
        channel: string;
        since?: string;
    }[];
    token: string | undefined;
    /** Milliseconds until it has to have opened. */
    timeout: number;
}
export interface Down {
    /** Of docs/protocol.md, "Close codes"; 1006: lost, or never opened. An HTTP status, where that was the answer. */
    code: number;
    reason: string;
    /** It was open, but gave nothing. */
    isUseless?: boolean;
}
export interface ReadOn {
    frame(frame: Frame): void;
    /** It works, although there is nothing to read. */
    open(): void;
    expires(seconds: number): void;
    down(how: Down): void;
}
export interface ReadTransport {
    close(): void;
    /** Whether it lives: ask, and be down soon if not. */
    check(): void;
    /** Go on with a fresh token of the same person; false: it cannot be told, open another one. */
    refresh(token: string): boolean;
}
export type OpenTransport = (env: Env, request: ReadRequest, on: ReadOn) => ReadTransport;
/** What a text of the server says; undefined: it is none of the server. */
export declare function parse(text: string): Record<string, any> | undefined;
export declare const channelsQuery: (channels: ReadRequest["channels"]) => string;
