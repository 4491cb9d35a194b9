import type { Me } from './types.js';
/** undefined: it is no token, or of nobody. */
export declare function readToken(token: string): Me | undefined;
