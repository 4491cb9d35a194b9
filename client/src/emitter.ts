/* Handlers by name. One that throws harms no other: its error is thrown once more, where the console sees it. */

export class Emitter<Events extends object> {
  private readonly handlers = new Map<keyof Events, Set<(value: any) => void>>();

  on<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): () => void {
    const all = this.handlers.get(name) ?? new Set();
    this.handlers.set(name, all);
    all.add(handler);
    return () => this.off(name, handler);
  }

  off<Name extends keyof Events>(name: Name, handler: (value: Events[Name]) => void): void {
    this.handlers.get(name)?.delete(handler);
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const handler of [...(this.handlers.get(name) ?? [])]) {
      try {
        handler(value);
      } catch (error) {
        setTimeout(() => { throw error; });
      }
    }
  }

  has(name: keyof Events): boolean {
    return (this.handlers.get(name)?.size ?? 0) > 0;
  }
}
