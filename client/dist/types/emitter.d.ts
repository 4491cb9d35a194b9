export declare class Emitter<Events extends object> {
    private readonly handlers;
    on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void;
    off<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): void;
    emit<Name extends keyof Events>(name: Name, value: Events[Name]): void;
    has(name: keyof Events): boolean;
}
