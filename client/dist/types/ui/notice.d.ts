export declare class Notice {
    readonly node: HTMLElement;
    private readonly textNode;
    private readonly timeNode;
    private readonly moreNode;
    private text;
    private kind;
    private countdown;
    private ticking;
    constructor();
    show(text: string, kind?: 'info' | 'error'): void;
    /** Until its end, instead of what show() shows: text, the time that is left, and more. */
    countDown(seconds: number, text: string, more: string, onEnd: () => void): void;
    endCountdown(): void;
    private draw;
}
