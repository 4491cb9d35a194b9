import { type OpenTransport } from './transport.js';
export declare const openPolling: OpenTransport;
