// A client of the stream protocol imv.v1, without dependencies.

const BACK_OFF_MS = 1_000;
const BACK_OFF_MS_MAX = 30_000;
const WATCH_MS = 1_000;
const TERMINAL = 4_500;

/**
 * @typedef {{id: string, version: number, [key: string]: any}} Row
 * @typedef {"waiting" | "live" | "frozen" | "signed-out" | "refused"} State
 * @typedef {{state: State, since: Date | null, reason: string}} Status
 * @typedef {object} Listener
 * @property {(rows: Row[]) => void} snapshot   all rows of the topic, in place of what was there
 * @property {(op: "upsert" | "remove", row: Row) => void} change
 * @property {(status: Status) => void} status
 */

/** Follows one topic for ever: reconnects, resumes, and never says that it is live when it is not. */
export class Stream {
  #topic;
  #listener;
  #random;
  /** @type {WebSocket | null} */ #socket = null;
  #cursor = "";
  #head = "";
  #behind = "";
  #attempts = 0;
  #pingMs = 15_000;
  #heardAt = 0;
  #retry = 0;
  #welcomed = false;
  #loaded = false;
  #skewMs = 0;
  /** @type {Date | null} */ #staleSince = null;
  /** @type {Date | null} */ #liveAt = null;
  /** @type {"signed-out" | "refused" | ""} */ #ended = "";
  #reason = "";
  #told = "";

  /**
   * @param {string} topic
   * @param {Listener} listener
   * @param {() => number} random  between 0 and 1, for the back-off
   */
  constructor(topic, listener, random = Math.random) {
    this.#topic = topic;
    this.#listener = listener;
    this.#random = random;
    setInterval(() => this.#watch(), WATCH_MS);
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#drop());
    addEventListener("pageshow", () => this.#hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#hurry();
    });
  }

  /** The server's time; the clocks of kiosks are often wrong. */
  now() {
    return new Date(Date.now() + this.#skewMs);
  }

  /** Connect, also after a final end, for example when somebody has signed in. */
  open() {
    this.#ended = "";
    this.#reason = "";
    this.#attempts = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#drop();
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/stream`);
    this.#socket = socket;
    this.#heardAt = performance.now();
    // Every handler looks whether its socket is still the present one: a late event of an old
    // socket must not touch what the new one has built.
    socket.onopen = () => socket === this.#socket && this.#hello();
    socket.onmessage = (event) => socket === this.#socket && this.#take(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#closed(event.code);
  }

  #hello() {
    const since = this.#cursor ? { [this.#topic]: this.#cursor } : {};
    this.#say({ type: "hello", token: "", topics: [this.#topic], since });
  }

  /** @param {object} message */
  #say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {string} text */
  #take(text) {
    const frame = JSON.parse(text);
    this.#heardAt = performance.now();
    switch (frame.type) {
      case "welcome":
        this.#welcomed = true;
        this.#staleSince = null; // if it is stale, the next frame says so
        this.#pingMs = frame.ping_s * 1000;
        this.#skewMs = Date.parse(frame.time) - Date.now();
        break;
      case "snapshot":
        this.#began(frame.cursor);
        this.#listener.snapshot(frame.rows);
        break;
      case "resumed":
        this.#began(frame.cursor);
        break;
      case "event":
        this.#cursor = frame.cursor;
        this.#listener.change(frame.op, frame.row);
        break;
      case "ping":
        this.#pinged(frame);
        break;
      case "bye":
        this.#bye(frame);
        break;
      default: // a type of a later version
    }
    this.#tell();
  }

  /** @param {string} cursor */
  #began(cursor) {
    this.#cursor = cursor;
    this.#loaded = true;
    this.#attempts = 0;
    this.#behind = "";
    if (epochOf(cursor) !== epochOf(this.#head)) this.#head = cursor;
  }

  /** @param {{time: string, heads: Record<string, string>, stale_since: string | null}} ping */
  #pinged(ping) {
    this.#say({ type: "pong" });
    this.#skewMs = Date.parse(ping.time) - Date.now();
    this.#staleSince = ping.stale_since ? new Date(ping.stale_since) : null;
    this.#head = ping.heads[this.#topic] ?? this.#head;
    const late = this.#loaded && !reaches(this.#cursor, this.#head);
    // Behind at two pings without a step between them: something was lost, so ask for all rows.
    if (late && this.#behind === this.#cursor) this.#say({ type: "resync", topic: this.#topic });
    this.#behind = late ? this.#cursor : "";
  }

  /** @param {{code: number, reason: string, retry_ms: number}} frame */
  #bye(frame) {
    this.#drop();
    this.#end(frame.code, frame.reason, frame.retry_ms);
  }

  /** @param {number} code */
  #closed(code) {
    this.#socket = null;
    this.#end(code, "", 0);
    this.#tell();
  }

  /** @param {number} code @param {string} reason @param {number} retryMs */
  #end(code, reason, retryMs) {
    this.#welcomed = this.#loaded = false;
    if (code >= TERMINAL && code < 5_000) {
      this.#ended = code === 4501 ? "signed-out" : "refused";
      this.#reason = reason;
      return;
    }
    const ceiling = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS * 2 ** this.#attempts++);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), retryMs || this.#random() * ceiling);
  }

  /** Let go of the socket without waiting for it: a dead network never answers a close. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#welcomed = this.#loaded = false;
    if (socket) socket.close();
    this.#tell();
  }

  /** Something says that the network may be back: do not wait for the back-off. */
  #hurry() {
    if (this.#ended) return;
    if (!this.#socket || this.#silent()) this.#connect();
  }

  #silent() {
    return performance.now() - this.#heardAt > 2 * this.#pingMs;
  }

  #watch() {
    if (!this.#ended && this.#socket && this.#silent()) this.#connect();
    this.#tell();
  }

  /** @returns {Status} */
  #status() {
    const since = this.#staleSince ?? this.#liveAt;
    const reason = this.#reason;
    if (this.#ended) return { state: this.#ended, since, reason };
    const known = this.#liveAt !== null || this.#attempts > 0;
    if (this.#staleSince || (!this.#welcomed && known)) return { state: "frozen", since, reason };
    if (this.#loaded && reaches(this.#cursor, this.#head)) return { state: "live", since, reason };
    return { state: "waiting", since, reason };
  }

  #tell() {
    const status = this.#status();
    // Alive at the last frame that was heard, not at the moment of looking.
    if (status.state === "live") {
      this.#liveAt = new Date(this.now().getTime() - (performance.now() - this.#heardAt));
    }
    const told = status.state === "live" ? "live" : `${status.state} ${status.since?.getTime()}`;
    if (told === this.#told) return;
    this.#told = told;
    this.#listener.status(status);
  }
}

/**
 * Whether a cursor has reached another: the same epoch, and not before it.
 * @param {string} cursor
 * @param {string} head
 */
export function reaches(cursor, head) {
  if (!head) return true;
  const [epoch, offset] = split(cursor);
  const [headEpoch, headOffset] = split(head);
  return epoch === headEpoch && offset >= headOffset;
}

/** @param {string} cursor */
function epochOf(cursor) {
  return split(cursor)[0];
}

/** @param {string} cursor @returns {[string, number]} */
function split(cursor) {
  const colon = cursor.lastIndexOf(":");
  return [cursor.slice(0, colon), Number(cursor.slice(colon + 1))];
}
