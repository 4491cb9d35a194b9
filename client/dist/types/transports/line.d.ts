import type { Env } from '../env.js';
import type { Down, ReadOn, ReadRequest } from './transport.js';
export declare class Line {
    private readonly env;
    private readonly request;
    private readonly on;
    over: boolean;
    private readonly ended;
    private timer;
    private due;
    private pausing;
    constructor(env: Env, request: ReadRequest, on: ReadOn);
    fetch(path: string): Promise<Response>;
    /** Down after so many milliseconds, unless wait() is called again before. */
    wait(ms: number, reason: string): void;
    /** The same, but what is due earlier stays so, however often it is called. */
    waitLess(ms: number, reason: string): void;
    /** Never ends if the line does before. */
    pause(ms: number): Promise<void>;
    finish(): void;
    down(how: Down): void;
}
