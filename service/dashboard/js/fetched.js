/* Something that is read from the API for a part of a page: again when it changed, not too often. */

export class Fetched {
  /** `read()` fetches; while an experiment runs, at most once in `pace` milliseconds. */
  constructor(read, pace = 4000) {
    this.read = read;
    this.pace = pace;
    this.key = null;
    this.at = 0;
    this.data = null;
    this.error = "";
    this.busy = null;
  }

  /** Whether there is nothing to show yet, not even an error. */
  get waiting() {
    return this.data === null && !this.error;
  }

  /** Fetch where `key` is another one than the last; `over`: at once. Rejects where the API is away. */
  async update(key, over) {
    while (this.busy) await this.busy.catch(() => {});
    if (key === this.key || (!over && !this.waiting && Date.now() - this.at < this.pace)) return;
    this.busy = this.#fetch(key).finally(() => {
      this.busy = null;
    });
    await this.busy;
  }

  async #fetch(key) {
    try {
      this.data = await this.read();
      this.error = "";
    } catch (error) {
      if (error.temporary) throw error;
      this.data = null;
      this.error = error.message;
    }
    this.key = key;
    this.at = Date.now();
  }
}
