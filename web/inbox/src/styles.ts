/** The look. Everything a page may want to change is a variable on the element or a part. */
/* A function, because a text that is a constant would be in the bundle at each of its uses. */
export const styles = (): string => `
:host {
  display: inline-block; position: relative; font: 14px/1.45 system-ui, sans-serif;
  --accent: var(--watchbell-accent, light-dark(#2456c5, #8db0ff));
  --panel: var(--watchbell-panel, light-dark(#fff, #1c2028));
  --card: var(--watchbell-card, light-dark(#f6f7fa, #262b35));
  --ink: var(--watchbell-ink, light-dark(#1b1f27, #eceef3));
  --quiet: var(--watchbell-quiet, light-dark(#566072, #a9b3c4));
  --line: var(--watchbell-line, light-dark(#dce0e8, #3a4150));
  --good: var(--watchbell-good, light-dark(#166b3e, #6fd3a0));
  --warn: var(--watchbell-warn, light-dark(#8a5000, #ffbd6b));
  --bad: var(--watchbell-bad, light-dark(#b3261e, #ff8f87));
  --on: light-dark(#fff, #10141c); --target: 1.9rem;
  color: var(--ink); text-align: start;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([inline]) { display: flex; flex-direction: column; min-height: 0; }
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
button, select, input { font: inherit; font-size: .82rem; color: var(--ink); background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .15rem .6rem; }
button, select, [type=checkbox] { cursor: pointer; }
button:hover { border-color: var(--accent); }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
svg { width: 1.15rem; height: 1.15rem; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; flex: none; }
.panel:focus-visible { outline: none; }
.bell { position: relative; display: inline-grid; place-items: center; width: 2.75rem; height: 2.75rem; border-radius: 50%; padding: 0; anchor-name: --bell; }
.bell svg { width: 1.4rem; height: 1.4rem; }
.badge { position: absolute; top: -.4rem; right: -.35rem; min-width: 1.25rem; padding: 0 .3rem; border-radius: 1rem; background: var(--bad); color: var(--on); font-size: .75rem; line-height: 1.25rem; font-weight: 700; text-align: center; }
.dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--quiet); flex: none; }
.bell .dot { position: absolute; right: .1rem; bottom: .1rem; box-shadow: 0 0 0 2px var(--panel); }
[data-status="live"] .dot { background: var(--good); animation: pulse 2s ease-out infinite; }
[data-status$="connecting"] .dot { background: var(--warn); animation: blink 1s ease-in-out infinite alternate; }
[data-status="offline"] .dot, [data-status="closed"] .dot { background: var(--bad); }
.panel { display: flex; flex-direction: column; background: var(--panel); color: var(--ink); text-align: start; overflow: visible; }
:host(:not([inline])) .panel { position: fixed; inset: auto; z-index: 1000; margin: 0; width: min(26rem, calc(100vw - 1rem)); height: auto; max-height: min(38rem, 85vh, var(--room, 85vh)); padding: .8rem; border: 1px solid var(--line); border-radius: .9rem; box-shadow: 0 8px 30px #0004; }
@supports (position-area: block-end) {
  :host(:not([inline])) .panel { position-anchor: --bell; position-area: block-end span-inline-start; position-try: most-block-size flip-block, flip-inline, flip-block flip-inline, --middle, --over; max-height: min(38rem, 100% - 1rem); min-height: min(10rem, 60vh); margin: .5rem; }
}
:host(:not([inline])) .panel.measured { position-anchor: auto; position-area: none; inset: 0 auto auto 0; margin: 0; max-height: min(38rem, 85vh, var(--room, 85vh)); }
@position-try --middle { position-area: block-end span-all; justify-self: anchor-center; }
@position-try --over { position-area: block-start span-all; justify-self: anchor-center; }
:host([inline]) .panel { flex: 1; min-height: 0; }
:host([inline]) .bell { display: none; }
.icon { position: relative; display: inline-grid; place-items: center; width: var(--target); height: var(--target); padding: 0; border-color: transparent; background: none; color: var(--quiet); touch-action: manipulation; }
.icon:hover, .icon[aria-expanded="true"], .icon[aria-pressed="true"] { color: var(--accent); background: color-mix(in srgb, var(--accent) 12%, transparent); }
.tip { position: absolute; z-index: 3; inset-block-start: calc(100% + .15rem); inset-inline-end: 0; padding: 0 .45rem; border-radius: .35rem; background: var(--ink); color: var(--panel); font-size: .75rem; line-height: 1.5rem; white-space: nowrap; pointer-events: none; display: none; }
.tools .tip { inset-block-start: auto; inset-block-end: calc(100% + .15rem); }
@media (hover: hover) { .icon:hover .tip { display: block; } }
.icon:focus-visible .tip, .icon.named .tip { display: block; }
[type=checkbox] { width: 1.15rem; height: 1.15rem; accent-color: var(--accent); flex: none; }
.alert { display: flex; gap: .6rem; background: var(--card); border: 1px solid var(--line); border-inline-start: 4px solid var(--accent); border-radius: .6rem; padding: .5rem .4rem .5rem .65rem; overflow-wrap: anywhere; animation: arrive .25s ease-out; touch-action: pan-y; }
.alert.warning { border-inline-start-color: var(--warn); }
.alert.critical { border-inline-start-color: var(--bad); }
.alert .image { width: 2.5rem; height: 2.5rem; border-radius: .5rem; object-fit: cover; flex: none; background: var(--line); }
.main { flex: 1; min-width: 0; }
.title { display: block; max-width: 100%; border: 0; background: none; padding: 0; font-size: .92rem; font-weight: 500; color: inherit; text-align: start; }
.title > span, .body { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.body { -webkit-line-clamp: 3; white-space: pre-line; font-size: .87rem; }
.whole .title > span, .whole .body { display: block; }
.body a { color: var(--accent); }
.body code { font: .95em ui-monospace, monospace; background: color-mix(in srgb, var(--quiet) 15%, transparent); border-radius: .25rem; padding: 0 .2rem; }
.unread .title { font-weight: 700; }
.unread .title > span::before { content: ""; display: inline-block; border: .25rem solid var(--accent); border-radius: 50%; margin-inline-end: .4rem; }
.title:hover { text-decoration: underline; }
.more { border: 0; background: none; padding: .1rem 0; color: var(--accent); }
.meta { display: flex; flex-wrap: wrap; align-items: center; gap: .1rem .6rem; color: var(--quiet); font-size: .8rem; }
.meta b { color: var(--good); font-weight: 600; }
.severity { display: inline-flex; align-items: center; gap: .25rem; }
.severity svg { width: .95rem; height: .95rem; }
.info .severity { color: var(--accent); } .warning .severity { color: var(--warn); } .critical .severity { color: var(--bad); font-weight: 600; }
.answers { display: flex; flex-wrap: wrap; gap: .35rem; padding-top: .4rem; }
.answers button { min-height: var(--target); border-color: var(--accent); color: var(--accent); }
.said { display: flex; align-items: center; gap: .3rem; padding-top: .3rem; color: var(--good); font-size: .85rem; }
.tools { display: grid; grid-auto-flow: column; grid-template-rows: repeat(2, auto); align-content: start; flex: none; }
.tools > button:nth-of-type(3):last-of-type { grid-row: 1 / -1; align-self: center; }
.menu { display: flex; flex-wrap: wrap; gap: .35rem; padding-top: .3rem; }
.tools .menu { position: absolute; z-index: 2; inset-inline-end: .4rem; inset-block-end: .4rem; max-width: 85%; padding: .4rem; background: var(--panel); border: 1px solid var(--line); border-radius: .6rem; box-shadow: 0 4px 16px #0003; }
.menu button { min-height: var(--target); }
.toasts { position: fixed; inset: auto; inset-block-end: 1rem; inset-inline-end: 1rem; z-index: 1001; display: grid; gap: .5rem; width: min(23rem, calc(100vw - 2rem)); height: auto; margin: 0; padding: 0; border: 0; background: none; color: var(--ink); text-align: start; overflow: visible; pointer-events: none; }
.toasts > * { position: relative; pointer-events: auto; }
.toasts > .alert { background: var(--panel); box-shadow: 0 6px 24px #0005; }
.rest { justify-self: end; min-height: var(--target); border-radius: 1rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (pointer: coarse) { :host { --target: 44px; } .title, .more { min-height: 44px; } }
@media (max-width: 30rem) {
  :host(:not([inline])) .panel, :host(:not([inline])) .panel.measured { position-area: none; inset: auto 0 0; width: auto; max-height: 85dvh; min-height: min(16rem, 60dvh); margin: 0; padding-bottom: max(.8rem, env(safe-area-inset-bottom)); border-radius: .9rem .9rem 0 0; }
}
@media (forced-colors: active) {
  .dot, .badge, .count { border: 1px solid CanvasText; }
  .dot { background: CanvasText !important; forced-color-adjust: none; }
  [data-status="live"] .dot { background: Highlight !important; }
  .unread .title > span::before { border-color: Highlight; forced-color-adjust: none; }
  .tip { border: 1px solid CanvasText; }
  .icon[aria-pressed="true"], .tab[aria-pressed="true"] { border-color: Highlight; }
}
@media print { .bell, .toasts, :host(:not([inline])) .panel, .tools, .tabs, .end, .bar { display: none !important; } }
@keyframes pulse { from { box-shadow: 0 0 0 0 color-mix(in srgb, var(--good) 55%, transparent); } 70%, to { box-shadow: 0 0 0 .5rem transparent; } }
@keyframes blink { to { opacity: .35; } }
@keyframes arrive { from { opacity: 0; translate: 0 -.4rem; } }
@media (prefers-reduced-motion: reduce) { *, ::before, ::after { animation: none !important; transition: none !important; } }
`;
