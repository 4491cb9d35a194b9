import { type OpenTransport } from './transport.js';
export declare const openEvents: OpenTransport;
