import { type OpenTransport } from './transport.js';
export declare const openWebSocket: OpenTransport;
