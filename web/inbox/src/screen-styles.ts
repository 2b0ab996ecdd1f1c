/** The look of what is loaded when it is opened: search, settings, help, and choosing. */
export const screenStyles = (): string => `
h3 { font-size: .9rem; padding-bottom: .3rem; }
.find-bar { display: grid; grid-template-columns: 1fr 1fr; gap: .35rem; padding-bottom: .5rem; }
.find-bar [type=search] { grid-column: 1 / -1; }
.find-bar > * { min-height: var(--target); min-width: 0; }
.settings, .help { overflow-y: auto; min-height: 0; flex: 1; font-size: .85rem; }
.screen, .here, .preferences, .devices, section { display: grid; gap: .5rem; align-content: start; }
.screen { gap: 1rem; padding: .2rem; }
.screen label { display: flex; align-items: center; justify-content: space-between; gap: .5rem; }
.screen select, .screen input:not([type=checkbox]) { min-height: var(--target); min-width: 0; }
table { border-collapse: collapse; width: 100%; }
th { font-weight: 500; text-align: start; padding: .2rem 0; overflow-wrap: anywhere; }
thead th { color: var(--quiet); font-size: .78rem; text-align: center; }
tbody td { text-align: center; }
tbody tr { border-top: 1px solid var(--line); }
fieldset { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .6rem; display: grid; gap: .4rem; }
.days { display: flex; flex-wrap: wrap; gap: .2rem .7rem; }
.screen .day { gap: .3rem; }
.devices ul { display: grid; gap: .4rem; }
.devices li { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem; }
.devices span { flex: 1; }
small { display: block; color: var(--quiet); }
.keys { display: grid; grid-template-columns: auto 1fr; gap: .3rem .8rem; }
kbd { font: inherit; padding: 0 .4rem; border: 1px solid var(--line); border-radius: .3rem; background: var(--card); }
.choose { display: grid; place-items: start center; margin-top: .2rem; flex: none; }
.screen .cell { justify-content: center; }
@media (pointer: coarse) {
  .choose { width: 44px; height: 44px; margin: 0; place-items: center; }
  .screen label { min-height: 44px; }
  .screen .day { min-width: 44px; }
}
`;
