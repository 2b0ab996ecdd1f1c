/** The person's devices: which they are, a test of each, and how one is forgotten. */
import { HttpError, type Watchbell } from "@watchbell/client";
import { type DetailsWords, detailsFor } from "./details-words.ts";
import { el } from "./dom.ts";
import { deviceId } from "./push.ts";
import { fill, localeOf } from "./words.ts";

/** As `GET /v1/devices` has them (workers/socket/src/http/devices.rs). */
interface Device { device: string; service: string; registered_at?: string }

export class DevicesScreen {
  readonly element = el("section", { class: "devices", part: "devices" });
  #devices: readonly Device[] | null = null;
  #asked = 0;

  /** `without` is told when the server does not have this browser. */
  constructor(readonly client: Watchbell, readonly language: () => string, readonly say: (text: string) => void, readonly without: () => void) {}

  async load(): Promise<void> {
    const nth = ++this.#asked;
    let devices: readonly Device[] | null = null; // Not known: nothing is claimed of them.
    try {
      devices = (await this.client.request<{ devices: Device[] }>("GET", "/v1/devices", undefined, { devices: [] })).devices;
    } catch {
      // What devices there are stays unknown.
    }
    if (nth !== this.#asked) return; // Something was changed meanwhile, and asked for again.
    this.#devices = devices;
    if (devices && !devices.some(({ device }) => device === deviceId())) this.without();
    this.draw();
  }

  draw(): void {
    const words = detailsFor(this.language());
    const devices = this.#devices;
    this.element.hidden = !devices;
    const look = JSON.stringify([devices, words.title]);
    if (!devices || this.element.dataset["look"] === look) return;
    this.element.dataset["look"] = look;
    const list = devices.length ? el("ul", {}, ...devices.map((one) => this.#line(one, words))) : el("p", { class: "note" }, words.noDevices);
    this.element.replaceChildren(el("h3", {}, words.devicesTitle), list);
  }

  #line({ device, service, registered_at: at }: Device, words: DetailsWords): HTMLElement {
    const kind = (words as Record<string, string>)[`service-${service}`] ?? service;
    const name = device === deviceId() ? `${kind}, ${words.thisBrowser}` : kind;
    const path = `/v1/devices/${encodeURIComponent(device)}`;
    const button = (label: string, press: () => Promise<unknown>) => el("button", { type: "button", "aria-label": `${label}: ${name} ${device}`, onclick: () => void this.#try(press, words) }, label);
    return el(
      "li", {}, el("span", {}, el("b", {}, name), ...(at ? [el("small", {}, fill(words.since, { at: new Date(at).toLocaleDateString(localeOf(this.language())) }))] : [])),
      button(words.test, async () => {
        await this.client.request("POST", `${path}/test`);
        this.say(words.testSent);
      }),
      button(words.forget, async () => {
        await this.client.request("DELETE", path).catch((error: unknown) => { if (!(error instanceof HttpError) || error.status !== 404) throw error; });
        this.say(words.forgotten);
        await this.load();
      }),
    );
  }

  async #try(press: () => Promise<unknown>, words: DetailsWords): Promise<void> {
    try {
      await press();
    } catch (error) {
      this.say(fill(words.refused, { title: (error as Error).message }));
    }
  }
}
