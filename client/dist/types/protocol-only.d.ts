export { ChatUpProtocol } from './protocol.js';
export { ChatUpError } from './error.js';
export type * from './types.js';
