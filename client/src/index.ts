/* What the package exports as `chatup-client`. */
export { ChatUpProtocol } from './protocol.js';
export { ChatUp } from './ui/chatup.js';
export type { ChatUpConf } from './ui/chatup.js';
export { defaultTexts } from './ui/texts.js';
export type { Texts } from './ui/texts.js';
export { ChatUpError } from './error.js';
export { emoji } from './emoji.js';
export type * from './types.js';
