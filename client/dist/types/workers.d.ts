import type { Joined } from './dispatcher.js';
export type FailedAs = 'workerSubConnect' | 'workerPubConnect';
export declare class Workers {
    private readonly ask;
    current: Joined | undefined;
    private asked;
    private failed;
    constructor(ask: (failed: {
        type: FailedAs;
        id: string;
    } | undefined) => Promise<Joined>);
    find(): Promise<Joined>;
    /** Whoever was asked is not listened to. */
    forget(): void;
    /** Ask for another one next time; unless that was done already. */
    leave(worker: Joined, as: FailedAs): void;
}
