export declare class Notice {
    readonly node: HTMLElement;
    private readonly textNode;
    private readonly timeNode;
    private text;
    private kind;
    private countdown;
    private ticking;
    constructor();
    show(text: string, kind?: 'info' | 'error'): void;
    /** Until its end, instead of what show() shows. */
    countDown(seconds: number, text: (time: string) => string, onEnd: () => void): void;
    endCountdown(): void;
    private draw;
}
