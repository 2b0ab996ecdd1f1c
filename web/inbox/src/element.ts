/**
 * `<watchbell-inbox>`: a bell with a badge, a panel and toasts over one session. Give it a client:
 *
 *     document.querySelector("watchbell-inbox").client = new Watchbell({ token });
 *
 * Attributes: `inline` (the panel alone, always open), `lang`, `theme` (light, dark), `toasts="off"`, `manual-seen` (nothing
 * is seen by itself), `push-worker` (where the service worker is: offers Web Push). Events: `watchbell-open` with the alert,
 * which can be prevented to open the alert's address yourself, and `watchbell-sign-in`, to sign in again.
 *
 * Here is what the element knows, and how that becomes what is on screen. What a person does is in acts.ts.
 */
import type { Snapshot, Watchbell } from "@watchbell/client";
import { type SeenWatcher, watchSeen } from "@watchbell/client/seen";
import { Acts } from "./acts.ts";
import type { ShownRow } from "./alert.ts";
import { buildBell, drawBell } from "./bell.ts";
import { type CardView, card, lookOf } from "./card.ts";
import { el, layer, setAttribute, setText } from "./dom.ts";
import type { Finding } from "./finding.ts";
import { onceAFrame } from "./frames.ts";
import type { Notifications } from "./notifications.ts";
import type { Panel } from "./panel.ts";
import type { PushWorker } from "./push-device.ts";
import { hearPushWorker } from "./push.ts";
import type { SettingsScreen } from "./settings-screen.ts";
import { Settings } from "./settings.ts";
import type { Tab } from "./standing.ts";
import { styles } from "./styles.ts";
import { Toasts } from "./toasts.ts";
import { type Words, ago, directionOf, fill, onLanguage, wordsFor } from "./words.ts";

/** How often the ages of alerts are written anew: those under a minute are told in seconds. */
const AGES_EVERY_MS = 1_000;
/** Messages to a reader of the screen that are kept: what is taken away at once is not read. */
const SAID_MAX = 3;

/** A row's content, made by the page: a node of the page, which its own style sheets reach. Null: as usual. */
export type RenderRow = (row: ShownRow, act: (what: string) => void) => HTMLElement | null;

/** On a server there are no elements, and yet this file is imported there. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class WatchbellInbox extends Base {
  static observedAttributes = ["lang", "dir", "inline", "toasts", "manual-seen"];

  /** The service worker for Web Push where an attribute does not do: a `TrustedScriptURL`, or a registration. */
  pushWorker: PushWorker | null = null;
  /** What a person sees of the list, and has opened or chosen in it. */
  readonly view = {
    isOpen: false, isSettings: false, isHelp: false, isFinding: false, tab: "all" as Tab,
    expanded: new Set<string>(), groups: new Set<string>(), selected: null as Set<string> | null, note: "", criticalLeft: 0,
  };
  readonly acts: Acts = new Acts(this);
  settings: Settings | null = null;
  finding: Finding | null = null;
  settingsScreen: SettingsScreen | null = null;

  /** What is in the panel, once it is loaded. */
  inside: Panel | null = null;
  seen: SeenWatcher | null = null;
  /** Counts the ways in which rows were made, so that they are made anew. */
  renders = 0;

  #client: Watchbell | null = null;
  #render: RenderRow | null = null;
  #left: (() => void)[] = [];
  #isAsked = false;
  #isInView = false;
  /** The session's rows by their names; null until one is asked for. */
  #rows: Map<string, ShownRow> | null = null;
  #notifications: Notifications | null = null;
  /** New alerts that are about to be told. */
  readonly #told: ShownRow[] = [];
  #markdown: CardView["markdown"] = null;
  #loading: Promise<Panel> | null = null;
  readonly #drawing = onceAFrame(() => this.#draw());
  readonly toasts = new Toasts({
    look: (row) => lookOf(row, this.cards),
    make: (row) => this.#toast(row),
    rest: (n) => fill(this.words.more, { n }),
    gone: (child) => this.seen?.unobserve(child),
  });
  readonly bell = buildBell();
  readonly panel = el("section", { class: "panel", part: "panel", "aria-labelledby": "heading", tabindex: "-1", hidden: true });
  readonly #polite = el("div", { class: "unseen", "aria-live": "polite" });
  readonly #urgent = el("div", { class: "unseen", role: "alert" });

  readonly #pushPage = {
    show: (alert: string) => void this.acts.show(alert),
    isLookingAt: (alert: string) => this.#isLookingAt(alert),
    renew: () => this.acts.renewPush(),
    isDevice: () => this.worker !== null && (this.settings?.push ?? false),
  };

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: false });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles());
    root.adoptedStyleSheets = [sheet];
    root.append(this.bell.button, this.panel, this.toasts.element, this.#polite, this.#urgent);
    this.acts.listen();
  }

  get client(): Watchbell | null {
    return this.#client;
  }
  set client(client: Watchbell | null) {
    if (client === this.#client) return;
    this.#detach();
    this.#client = client;
    if (this.isConnected) this.#attach();
  }

  get renderRow(): RenderRow | null {
    return this.#render;
  }
  set renderRow(render: RenderRow | null) {
    this.#render = render;
    this.renders += 1;
    if (this.isConnected) this.draw();
  }

  connectedCallback(): void {
    this.#attach();
  }
  disconnectedCallback(): void {
    this.#detach();
  }
  attributeChangedCallback(name: string): void {
    if (name === "manual-seen") this.#watchSeen();
    if (this.isConnected) this.draw();
  }

  /** Opens or closes the panel. */
  toggle(open = !this.view.isOpen): void {
    const { view, panel, bell } = this;
    const wasInside = panel.contains(this.shadowRoot?.activeElement ?? null);
    Object.assign(view, { isOpen: open, isSettings: false, isHelp: false, note: "" });
    if (open) this.toasts.clear(); // The panel shows them.
    this.draw();
    if (open) panel.focus({ preventScroll: true });
    else if (wasInside) bell.button.focus({ preventScroll: true });
  }

  /** Loads what is in the panel. One that failed is tried again with the next. */
  load(): Promise<Panel> {
    return this.#loading ??= import("./panel.ts").then(
      ({ Panel }) => this.inside = new Panel(this),
      (error: unknown) => {
        this.#loading = null;
        throw error;
      },
    );
  }

  get words(): Words {
    return wordsFor(this.language);
  }
  /** The language that is spoken here: of the element, of the page, or of the browser. */
  get language(): string {
    return this.getAttribute("lang") || document.documentElement.lang || navigator.language || "en";
  }
  get now(): Snapshot | null {
    return this.#client?.snapshot ?? null;
  }
  get isInline(): boolean {
    return this.hasAttribute("inline");
  }
  get worker(): PushWorker | null {
    return this.pushWorker ?? this.getAttribute("push-worker");
  }
  /** Whether what is shown is found, not simply what is open. */
  get isFinding(): boolean {
    return this.view.tab !== "all" || (this.finding?.isFiltered ?? false);
  }
  /** Every row that the session or the search has. */
  row(id: string): ShownRow | undefined {
    return this.#held(id) ?? this.finding?.row(id);
  }
  #held(id: string): ShownRow | undefined {
    this.#rows ??= new Map(this.now?.alerts.map((row) => [row.alert.id, row]));
    return this.#rows.get(id);
  }
  /** What is in the list now, newest first, before it is grouped. */
  get rows(): readonly ShownRow[] {
    const all = this.now?.alerts ?? [];
    if (this.finding && this.isFinding) return this.finding.rows(all);
    return all.filter(({ state }) => state !== "dismissed" && state !== "snoozed");
  }

  /** At once, for what the person has just done. */
  draw(): void {
    this.#drawing.now();
  }
  /** With the next frame. */
  drawSoon(): void {
    this.#drawing.ask();
  }

  /** To readers of the screen; what is urgent interrupts. */
  say(text: string, isUrgent = false): void {
    const region = isUrgent ? this.#urgent : this.#polite;
    region.append(el("p", { dir: "auto" }, text));
    while (region.childElementCount > SAID_MAX) region.firstElementChild?.remove();
  }

  // ---- Joining a session and leaving it.

  #attach(): void {
    const client = this.#client;
    if (!client || this.#left.length) return this.draw();
    this.#watchSeen();
    const left = new AbortController();
    const { signal } = left;
    const ages = setInterval(() => this.#drawAges(), AGES_EVERY_MS);
    const replace = () => this.inside?.place();
    document.addEventListener("pointerdown", (event) => { if (this.view.isOpen && !event.composedPath().includes(this)) this.toggle(false); }, { signal });
    // Escape closes the panel wherever the focus is.
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !event.defaultPrevented && this.view.isOpen) this.toggle(false); }, { signal });
    document.addEventListener("scroll", replace, { signal, capture: true, passive: true });
    window.addEventListener("resize", replace, { signal });
    for (const moved of ["resize", "scroll"]) globalThis.visualViewport?.addEventListener(moved, replace, { signal });
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.drawSoon(), { signal });
    document.addEventListener("visibilitychange", () => this.#lookedAt(), { signal });
    const inView = new IntersectionObserver(([entry]) => { this.#isInView = entry?.isIntersecting ?? false; });
    inView.observe(this.panel);
    this.#left = [
      client.subscribe(() => this.#changed()),
      client.on("alert", ({ row, here }) => this.#news(row, here)),
      client.on("refused", ({ title }) => this.acts.failed(title)),
      hearPushWorker(client, this.#pushPage),
      onLanguage(() => this.drawSoon()),
      () => inView.disconnect(),
      () => clearInterval(ages),
      () => left.abort(),
    ];
    this.#changed();
  }

  #detach(): void {
    for (const leave of this.#left) leave();
    this.#left = [];
    this.#drawing.stop();
    this.seen?.close();
    this.seen = null;
    this.#forgetPerson();
    this.toasts.clear();
    this.#notifications?.close();
    this.inside?.list.clear();
    this.#rows = null;
  }

  /** What is known of one person must not be shown to the next. */
  #forgetPerson(): void {
    this.settings?.close();
    this.finding?.stop();
    this.acts.forget();
    this.#isAsked = false;
    Object.assign(this, { settings: null, finding: null, settingsScreen: null });
    Object.assign(this.view, { tab: "all", isFinding: false, isSettings: false, selected: null, note: "", criticalLeft: 0 });
    for (const screen of this.inside ? [this.inside.parts.find, this.inside.parts.settings] : []) screen.replaceChildren();
  }

  #watchSeen(): void {
    this.seen?.close();
    const client = this.#client;
    if (!client || this.hasAttribute("manual-seen")) {
      this.seen = null;
      return;
    }
    const say: Watchbell["say"] = (alerts, ...what) => {
      for (const id of alerts) this.toasts.markSeen(id);
      client.say(alerts, ...what);
    };
    this.seen = watchSeen({ get snapshot() { return client.snapshot; }, say } as Watchbell);
  }

  // ---- What happens.

  #changed(): void {
    const now = this.now;
    const client = this.#client;
    if (!now || !client) return;
    if (now.user && this.acts.user !== now.user) {
      if (this.acts.user) this.#forgetPerson();
      this.settings = new Settings(client, now.user, () => this.#settled());
      this.acts.join(client, now.user);
    }
    if (now.status === "live" && this.settings && !this.#isAsked) {
      this.#isAsked = true;
      void this.settings.load();
      this.acts.renewPush();
      // Opened later without a wait.
      (globalThis.requestIdleCallback ?? setTimeout)(() => void this.load().catch(() => undefined));
    }
    if (now.status !== "live") this.#isAsked = false; // What was changed meanwhile is asked for again.
    if (!this.#markdown && now.alerts.some(({ alert }: ShownRow) => alert.body_format === "markdown")) void this.#loadMarkdown();
    this.#rows = null;
    this.toasts.follow(now.alerts);
    this.#notifications?.follow(now.alerts);
    this.drawSoon();
  }

  /** The person's settings changed, here or in another tab. */
  #settled(): void {
    if (this.settings?.isQuiet()) this.toasts.clear();
    this.settingsScreen?.draw();
    this.drawSoon();
  }

  /** A page that is looked at again: another browser may have changed what the server keeps. */
  #lookedAt(): void {
    if (document.visibilityState === "visible" && this.now?.status === "live") void this.settings?.load();
    this.drawSoon();
  }

  /** Where the page says by itself what was seen, being on the screen is not enough. */
  #isLookingAt(alert: string): boolean {
    const { isSettings, isHelp } = this.view;
    const row = this.#held(alert);
    return row !== undefined && this.#isPanelSeen() && !isSettings && !isHelp && (!this.hasAttribute("manual-seen") || row.state !== "new");
  }

  #isPanelSeen(): boolean {
    return this.isInline ? this.#isInView && document.visibilityState === "visible" : this.view.isOpen;
  }

  #news(row: ShownRow, here: boolean): void {
    const { settings } = this;
    if (!here || this.getAttribute("toasts") === "off" || row.alert.status !== "firing" || settings?.isQuiet()) return;
    if (!this.#isPanelSeen()) this.toasts.show(row);
    // What comes together is told together, and of each kind only as many as a reader would get to.
    if (this.#told.push(row) === 1) queueMicrotask(() => this.#tell());
  }

  #tell(): void {
    const { settings, words } = this;
    const told = this.#told.splice(0);
    for (const isUrgent of [true, false]) {
      const some = told.filter(({ alert }) => (alert.severity === "critical") === isUrgent).slice(-SAID_MAX);
      for (const { alert: { severity, title } } of some) this.say(`${words[severity] ?? severity}: ${title}`, isUrgent);
    }
    if (settings?.sound) void import("./sound.ts").then(({ ring }) => ring(), () => undefined);
    // A browser that is pushed to shows it by its service worker.
    if (document.visibilityState === "hidden" && settings?.desktop && !settings.push) for (const row of told) void this.#notify(row);
  }

  async #notify(row: ShownRow): Promise<void> {
    const { Notifications } = await import("./notifications.ts");
    this.#notifications ??= new Notifications((alert) => this.acts.open(alert));
    this.#notifications.show(row);
  }

  // ---- Drawing: all of it from what is known now.

  #draw(): void {
    if (!this.isConnected) return;
    const { view, words, now, isInline, inside } = this;
    const isShown = isInline || view.isOpen;
    const before = isShown ? inside?.list.look() : undefined;
    drawBell(this.bell, words, now?.status ?? "idle", now?.unread ?? 0, view.isOpen);
    this.#drawFrame();
    if (!isShown) return inside?.closed();
    if (inside) return inside.draw(before);
    this.load().then(() => this.#draw(), (error: unknown) => this.panel.replaceChildren(fill(words.refused, { title: String(error) })));
  }

  /** The panel and the toasts as such: where they are, and in which direction they are written. */
  #drawFrame(): void {
    const { panel, view, isInline } = this;
    const dir = this.hasAttribute("dir") || !this.hasAttribute("lang") ? "" : directionOf(this.language);
    for (const part of [panel, this.toasts.element]) {
      setAttribute(part, "dir", dir || null);
      setAttribute(part, "lang", this.language);
    }
    setAttribute(panel, "popover", isInline ? null : "manual");
    setAttribute(panel, "role", isInline ? "region" : "dialog");
    layer(panel, isInline || view.isOpen);
    setAttribute(this.toasts.element, "aria-label", this.words.region);
  }

  #drawAges(): void {
    if (document.visibilityState === "hidden") return;
    for (const age of this.shadowRoot?.querySelectorAll("time") ?? []) setText(age, ago(age.dateTime, Date.now(), this.language));
  }

  // ---- Rows.

  get cards(): CardView {
    const { words, view: { expanded, selected } } = this;
    return { words, lang: this.language, expanded, selected, markdown: this.#markdown, own: (row) => this.#own(row), user: this.acts.user };
  }

  #toast(row: ShownRow): HTMLElement {
    const made = card(row, "toast", this.cards);
    this.seen?.observe(made, row.alert.id);
    return made;
  }

  async #loadMarkdown(): Promise<void> {
    const { markdown } = await import("./markdown.ts");
    if (this.#markdown) return;
    this.#markdown = markdown;
    this.drawSoon();
  }

  /** A row of the page's own stands beside the shadow tree and is shown in it. */
  #own(row: ShownRow): HTMLSlotElement | null {
    const { id } = row.alert;
    const node = this.#render?.(row, (what) => this.acts.act(what, id));
    if (!node) return null;
    this.dropOwn(id);
    node.slot = `row ${id}`;
    this.append(node);
    return el("slot", { name: `row ${id}` });
  }
  dropOwn(id: string): void {
    for (const child of [...this.children]) if (child.slot === `row ${id}`) child.remove();
  }
}
