export interface SocketLike {
    onopen: ((event: any) => void) | null;
    onmessage: ((event: any) => void) | null;
    onclose: ((event: any) => void) | null;
    onerror: ((event: any) => void) | null;
    send(data: string): void;
    close(code?: number): void;
}
export type Timer = unknown;
export interface Env {
    fetch(url: string, init?: RequestInit): Promise<Response>;
    WebSocket: (new (url: string) => SocketLike) | undefined;
    now(): number;
    random(): number;
    setTimeout(act: () => void, ms: number): Timer;
    clearTimeout(timer: Timer): void;
    /** Nobody looks at the page. */
    isHidden(): boolean;
    /** The page's own address, for relative URLs; undefined outside of browsers. */
    base: string | undefined;
    /** `act` is called when the connection may have changed while nobody looked. Returns what ends that. */
    onWake(act: (online: boolean) => void): () => void;
}
export declare function defaultEnv(webSocket: unknown): Env;
export declare function randomId(): string;
