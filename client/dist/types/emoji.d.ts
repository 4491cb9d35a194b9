import type { ClientPlugin } from './types.js';
export declare function emoji(more?: Record<string, string>): ClientPlugin;
