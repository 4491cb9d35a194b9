/* Where the library runs: clock, network and signs of life of the page. Tests bring their own. */

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

export function defaultEnv(webSocket: unknown): Env {
  const page = typeof document === 'undefined' ? undefined : document;
  return {
    fetch: (url, init) => globalThis.fetch(url, init),
    WebSocket: (webSocket ?? globalThis.WebSocket) as Env['WebSocket'],
    now: () => Date.now(),
    random: () => Math.random(),
    setTimeout: (act, ms) => setTimeout(act, ms),
    clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
    isHidden: () => page?.visibilityState === 'hidden',
    base: page?.baseURI,
    onWake(act) {
      if (!page)
        return () => {};
      const seen = () => page.visibilityState === 'visible' && act(false);
      const online = () => act(true);
      const offline = () => act(false);
      page.addEventListener('visibilitychange', seen);
      addEventListener('pageshow', seen); /* back from the page cache */
      addEventListener('online', online);
      addEventListener('offline', offline);
      return () => {
        page.removeEventListener('visibilitychange', seen);
        removeEventListener('pageshow', seen);
        removeEventListener('online', online);
        removeEventListener('offline', offline);
      };
    },
  };
}

export function randomId(): string {
  const { crypto } = globalThis as { crypto?: Crypto }; /* a page that is not https has no randomUUID */
  if (crypto?.randomUUID)
    return crypto.randomUUID();
  const bytes = crypto ? Array.from(crypto.getRandomValues(new Uint8Array(16)))
    : Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
