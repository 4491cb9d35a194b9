/* What the package exports as `chatup-client/protocol`: everything but what draws. */
export { ChatUpProtocol } from './protocol.js';
export { ChatUpError } from './error.js';
export type * from './types.js';
