import type { Env } from './env.js';
export declare class Retry {
    private readonly env;
    /** Failures in a row. */
    attempt: number;
    private timer;
    private act;
    constructor(env: Env);
    /** Call act after a pause; `least` milliseconds of it at least. Takes the place of what was planned before. */
    plan(act: () => void, least?: number): void;
    /** What is planned is done at once. */
    now(): void;
    cancel(): void;
    reset(): void;
}
