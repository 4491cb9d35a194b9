/* Which worker: one answer of the dispatcher for reading and speaking alike, asked for anew when that one failed. */
import type { Joined } from './dispatcher.js';

export type FailedAs = 'workerSubConnect' | 'workerPubConnect';

export class Workers {
  current: Joined | undefined;
  private asked: Promise<Joined> | undefined;
  private failed: { type: FailedAs; id: string } | undefined;

  constructor(private readonly ask: (failed: { type: FailedAs; id: string } | undefined) => Promise<Joined>) {}

  find(): Promise<Joined> {
    if (!this.asked) {
      const { failed } = this;
      const asked = this.ask(failed).finally(() => {
        if (this.failed === failed)
          this.failed = undefined; /* named once: it may be the only one there is */
      });
      this.asked = asked;
      asked.then(
        (joined) => { if (this.asked === asked) this.current = joined; },
        () => { if (this.asked === asked) this.asked = undefined; });
    }
    return this.asked;
  }

  /** Whoever was asked is not listened to. */
  forget(): void {
    this.current = this.asked = this.failed = undefined;
  }

  /** Ask for another one next time; unless that was done already. */
  leave(worker: Joined, as: FailedAs): void {
    if (this.current !== worker)
      return;
    this.failed = { type: as, id: worker.id };
    this.current = this.asked = undefined;
  }
}
