/** The look. Everything a page may want to change is a variable on the element or a part. */
export const STYLES = `
:host {
  color-scheme: light dark; display: inline-block; position: relative; font: 14px/1.45 system-ui, sans-serif;
  --accent: var(--watchbell-accent, light-dark(#2456c5, #8db0ff));
  --on-accent: var(--watchbell-on-accent, light-dark(#fff, #10141c));
  --panel: var(--watchbell-panel, light-dark(#fff, #1c2028));
  --card: var(--watchbell-card, light-dark(#f6f7fa, #262b35));
  --ink: var(--watchbell-ink, light-dark(#1b1f27, #eceef3));
  --quiet: var(--watchbell-quiet, light-dark(#566072, #a9b3c4));
  --line: var(--watchbell-line, light-dark(#dce0e8, #3a4150));
  --good: var(--watchbell-good, light-dark(#166b3e, #6fd3a0));
  --warn: var(--watchbell-warn, light-dark(#8a5000, #ffbd6b));
  --bad: var(--watchbell-bad, light-dark(#b3261e, #ff8f87));
  color: var(--ink); text-align: start;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([inline]) { display: flex; flex-direction: column; min-height: 0; }
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
button, select, a.action { font: inherit; font-size: .82rem; color: var(--ink); background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .15rem .6rem; cursor: pointer; text-decoration: none; }
button:hover, a.action:hover { border-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.bell { position: relative; display: inline-grid; place-items: center; width: 2.6rem; height: 2.6rem; border-radius: 50%; padding: 0; }
.bell svg { width: 1.4rem; height: 1.4rem; }
.badge { position: absolute; top: -.25rem; right: 0; min-width: 1.25rem; padding: 0 .3rem; border-radius: 1rem; background: var(--bad); color: light-dark(#fff, #10141c); font-size: .75rem; line-height: 1.25rem; font-weight: 700; text-align: center; }
.dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--quiet); flex: none; }
.bell .dot { position: absolute; right: .1rem; bottom: .1rem; box-shadow: 0 0 0 2px var(--panel); }
[data-status="live"] .dot { background: var(--good); animation: pulse 2s ease-out infinite; }
[data-status="connecting"] .dot, [data-status="reconnecting"] .dot { background: var(--warn); animation: blink 1s ease-in-out infinite alternate; }
[data-status="offline"] .dot, [data-status="closed"] .dot { background: var(--bad); }
.status { display: inline-flex; align-items: center; gap: .4rem; font-size: .8rem; color: var(--quiet); white-space: nowrap; }
.status[data-status="live"] { color: var(--good); }
.status[data-status="connecting"], .status[data-status="reconnecting"] { color: var(--warn); }
.status[data-status="offline"], .status[data-status="closed"] { color: var(--bad); }
.panel { display: flex; flex-direction: column; background: var(--panel); color: var(--ink); }
:host(:not([inline])) .panel { position: absolute; z-index: 1000; top: calc(100% + .5rem); inset-inline-end: 0; width: min(25rem, calc(100vw - 1rem)); max-height: min(36rem, 80vh, var(--room, 80vh)); padding: .8rem; border: 1px solid var(--line); border-radius: .9rem; box-shadow: 0 8px 30px #0004; }
:host(:not([inline])) .panel.above { top: auto; bottom: calc(100% + .5rem); }
:host([inline]) .panel { flex: 1; min-height: 0; }
:host([inline]) .bell { display: none; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .5rem; padding-bottom: .5rem; }
h2 { font-size: 1rem; }
header .count { padding: 0 .5rem; border-radius: 1rem; background: var(--bad); color: light-dark(#fff, #10141c); font-size: .78rem; font-weight: 700; }
header .end { margin-inline-start: auto; display: flex; gap: .35rem; }
.settings { display: grid; gap: .5rem; padding: .6rem; margin-bottom: .5rem; border: 1px solid var(--line); border-radius: .6rem; font-size: .85rem; }
.settings label { display: flex; align-items: center; justify-content: space-between; gap: .5rem; }
.note { color: var(--quiet); font-size: .8rem; padding-bottom: .4rem; }
ul { list-style: none; padding: 0; display: grid; gap: .5rem; align-content: start; overflow-y: auto; flex: 1; min-height: 0; }
.alert { background: var(--card); border: 1px solid var(--line); border-inline-start: 4px solid var(--accent); border-radius: .6rem; padding: .5rem .65rem; overflow-wrap: anywhere; animation: arrive .25s ease-out; }
.alert.warning { border-inline-start-color: var(--warn); }
.alert.critical { border-inline-start-color: var(--bad); }
.line { display: flex; align-items: baseline; gap: .5rem; justify-content: space-between; }
.alert .title { border: 0; background: none; padding: 0; font-size: .92rem; font-weight: 500; text-align: start; cursor: pointer; }
.unread .title { font-weight: 700; }
.unread .title::before { content: ""; display: inline-block; width: .5rem; height: .5rem; border-radius: 50%; background: var(--accent); margin-inline-end: .4rem; }
.alert .title:hover { text-decoration: underline; }
.alert p { white-space: pre-line; font-size: .87rem; }
.alert .meta { display: flex; flex-wrap: wrap; gap: .1rem .6rem; color: var(--quiet); font-size: .8rem; }
.alert .meta b { color: var(--good); font-weight: 600; }
.actions { display: flex; flex-wrap: wrap; gap: .35rem; padding-top: .35rem; }
.menu { display: flex; flex-wrap: wrap; gap: .35rem; flex-basis: 100%; padding-top: .1rem; }
.menu button { border-style: dashed; }
.empty { text-align: center; padding: 1.2rem .5rem; color: var(--quiet); }
.older { margin-top: .5rem; }
.undo { display: flex; gap: .5rem; align-items: center; justify-content: space-between; padding-top: .5rem; font-size: .85rem; }
.undo span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.toasts { position: fixed; z-index: 1001; inset-block-end: 1rem; inset-inline-end: 1rem; display: grid; gap: .5rem; width: min(22rem, calc(100vw - 2rem)); pointer-events: none; }
.toasts > * { pointer-events: auto; background: var(--panel); box-shadow: 0 6px 24px #0005; }
.toasts .rest { justify-self: end; padding: .1rem .7rem; border-radius: 1rem; font-size: .8rem; color: var(--quiet); border: 1px solid var(--line); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (max-width: 30rem) {
  :host(:not([inline])) .panel, :host(:not([inline])) .panel.above { position: fixed; inset: auto .5rem .5rem; width: auto; min-width: min(20rem, calc(100vw - 1rem)); max-height: 80vh; }
}
@keyframes pulse { from { box-shadow: 0 0 0 0 color-mix(in srgb, var(--good) 55%, transparent); } 70%, to { box-shadow: 0 0 0 .5rem transparent; } }
@keyframes blink { to { opacity: .35; } }
@keyframes arrive { from { opacity: 0; translate: 0 -.4rem; } }
@media (prefers-reduced-motion: reduce) { *, ::before, ::after { animation: none !important; transition: none !important; } }
`;
